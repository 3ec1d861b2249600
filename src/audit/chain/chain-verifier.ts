import type { KeyObject } from "node:crypto";
import type { ExportLine } from "./export-format.js";
import { beforeFirst, factoryLinkHash, linkHash } from "./link.js";
import { damagedSentence } from "./read-event.js";
import {
  type Cut,
  ed25519PublicKey,
  publicKeyId,
  readStatement,
  type SignedStatement,
  type Statement,
} from "./statement.js";
import { AuditBroken, type Verified } from "./verified.js";

export type VerifyOptions = {
  /** Public keys by their id; without them those in the export are believed, which proves only that it fits itself. */
  keys?: ReadonlyMap<string, KeyObject> | undefined;
  /** Checkpoints and cuts that were kept elsewhere. */
  held?: readonly SignedStatement[];
  onProgress?: (done: number, total: number) => void;
};

/**
 * Follows a chain, line by line of its export: every event against the chain, the chain against its signed checkpoints,
 * its end against the signed end, and all of it against what was kept elsewhere.
 * Each method throws AuditBroken at the first thing that does not hold.
 */
export class ChainVerifier {
  readonly #options: VerifyOptions;
  readonly #keys: Map<string, KeyObject>;
  readonly #used = new Set<string>();
  readonly #held = new HeldStatements();
  #line = 0;
  #end: Statement | undefined;
  #cut: Cut | undefined;
  #position = 0;
  #hash = beforeFirst;
  #vouchedFor = 0;
  #checkpoints = 0;
  #lastCheckpoint: number | undefined;
  #firstAt: string | undefined;
  #lastAt: string | undefined;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#keys = new Map(options.keys);
  }

  /** Takes the next line; `undefined` is one that cannot be read. */
  take(line: ExportLine | undefined): void {
    this.#line += 1;
    if (line === undefined) this.#broken("this is no line of an export");
    switch (line.type) {
      case "key":
        if (this.#end !== undefined) this.#broken("a key stands behind the beginning");
        this.learnKey(line);
        break;
      case "end":
        this.#takeEnd(line.signed);
        break;
      case "cut":
        this.#takeCut(line.signed);
        break;
      case "event":
        this.#takeEvent(line);
        break;
      case "checkpoint":
        this.#takeCheckpoint(line.signed);
        break;
      default:
        line satisfies never;
    }
  }

  /** Believes a key, unless some were given. In an export they all stand at the beginning; a database may get one later. */
  learnKey({ keyId, publicKey }: Pick<ExportLine & { type: "key" }, "keyId" | "publicKey">): void {
    if (publicKeyId(publicKey) !== keyId) this.#broken("the key is another than its id says");
    if (this.#options.keys !== undefined) return;
    try {
      this.#keys.set(keyId, ed25519PublicKey(publicKey));
    } catch {
      this.#broken("this is no Ed25519 key");
    }
  }

  /** Whether what this key signed can be checked. */
  knows(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  progress(): void {
    const from = this.#cut?.position ?? 0;
    if (this.#end) this.#options.onProgress?.(this.#position - from, this.#end.position - from);
  }

  /** @param rest what stands behind the last whole line */
  end(rest = ""): Verified {
    this.#line += 1;
    const end = this.#end;
    if (end === undefined) this.#broken("the export ended before its signed end was told");
    if (rest !== "") this.#broken("the export is cut off inside of a line");
    if (this.#position !== end.position) {
      this.#broken(
        `events are missing at the end: position ${this.#position} is the last, and ${end.position} was signed`,
      );
    }
    const leftOver = this.#held.leftOver();
    if (leftOver !== undefined) {
      this.#broken(
        `a statement that you hold is about position ${leftOver}, and the export ends at ${end.position}, as signed at ${end.at}`,
      );
    }
    return {
      chain: end.chain,
      installation: end.installation,
      from: (this.#cut?.position ?? 0) + 1,
      through: end.position,
      signedAt: end.at,
      checkpoints: this.#checkpoints,
      ...this.#held.counts(),
      keyIds: [...this.#used],
      cut: this.#cut,
      firstAt: this.#firstAt,
      lastAt: this.#lastAt,
    };
  }

  #takeEnd(signed: SignedStatement): void {
    if (this.#end !== undefined) this.#broken("there is a second signed end");
    const end = this.#read(signed, "the signed end");
    if (end.type !== "factory-secrets.audit-checkpoint.v1") this.#broken("the signed end is no checkpoint");
    this.#end = end;
    for (const one of this.#options.held ?? []) this.#hold(one, end);
    this.#compareHeld();
  }

  #hold(signed: SignedStatement, end: Statement): void {
    const held = this.#read(signed, "a statement that you hold");
    if (held.installation !== end.installation) this.#broken("a statement that you hold is of another installation");
    // A factory's chain and the installation's have positions of their own.
    if (held.chain === end.chain) this.#held.add(held);
  }

  #takeCut(signed: SignedStatement): void {
    const cut = this.#readOfChain(signed, "the cut");
    if (cut.type !== "factory-secrets.audit-cut.v1") this.#broken("this is no cut");
    if (this.#cut !== undefined || this.#position > 0) this.#broken("a cut stands behind the beginning");
    this.#cut = cut;
    this.#position = cut.position;
    this.#hash = Buffer.from(cut.hash, "hex");
    this.#held.dropBefore(cut.position);
    this.#compareHeld();
    this.#compareEnd();
  }

  #takeEvent({ sealed, event, damage }: ExportLine & { type: "event" }): void {
    const end = this.#end;
    if (end === undefined) this.#broken("an event stands before the signed end");
    const expected = this.#position + 1;
    if (sealed.position > end.position) this.#broken(`position ${sealed.position} is behind the signed end`);
    if (sealed.position > expected) this.#broken(`the event at position ${expected} is missing`);
    if (sealed.position < expected) this.#broken(`position ${sealed.position} stands where ${expected} belongs`);
    if (event === undefined)
      this.#broken(
        damagedSentence({ position: sealed.position, eventId: sealed.place?.eventId, chain: end.chain, damage }),
      );
    if (sealed.place === undefined && end.chain === end.installation)
      this.#broken(`the event at position ${expected} has no id, writer and sequence`);
    const link = { chain: end.chain, position: sealed.position, event: sealed.event };
    const hash = sealed.place ? linkHash(this.#hash, { ...link, ...sealed.place }) : factoryLinkHash(this.#hash, link);
    if (!hash.equals(sealed.hash))
      this.#broken(`the event at position ${expected} is not the one that was sealed there`);
    this.#position = expected;
    this.#hash = hash;
    const at = typeof event.at === "string" ? event.at : undefined;
    this.#firstAt ??= at;
    this.#lastAt = at;
    this.#compareHeld();
    this.#compareEnd();
  }

  #takeCheckpoint(signed: SignedStatement): void {
    const checkpoint = this.#readOfChain(signed, "the checkpoint");
    if (checkpoint.position > this.#position) this.#broken(`the event at position ${this.#position + 1} is missing`);
    if (checkpoint.position < this.#position) {
      this.#broken(`a checkpoint of position ${checkpoint.position} stands at position ${this.#position}`);
    }
    if (checkpoint.position === this.#lastCheckpoint) this.#broken("a checkpoint stands here twice");
    this.#mustFit(checkpoint, "the checkpoint");
    this.#lastCheckpoint = checkpoint.position;
    this.#checkpoints += 1;
  }

  #compareHeld(): void {
    for (const held of this.#held.takeAt(this.#position)) this.#mustFit(held, "a statement that you hold");
  }

  #compareEnd(): void {
    if (this.#end?.position === this.#position) this.#mustFit(this.#end, "the signed end");
  }

  #mustFit(statement: Statement, what: string): void {
    if (statement.hash !== this.#hash.toString("hex")) {
      this.#broken(`${what} of ${statement.at} does not fit: the chain had another hash at position ${this.#position}`);
    }
    this.#vouchedFor = this.#position;
  }

  #readOfChain(signed: SignedStatement, what: string): Statement {
    const statement = this.#read(signed, what);
    if (this.#end === undefined) this.#broken(`${what} stands before the signed end`);
    if (statement.chain !== this.#end.chain || statement.installation !== this.#end.installation) {
      this.#broken(`${what} is of another chain`);
    }
    return statement;
  }

  #read(signed: SignedStatement, what: string): Statement {
    const read = readStatement(this.#keys, signed);
    if (!read.ok) this.#broken(`${what} ${read.reason}`);
    this.#used.add(signed.keyId);
    return read.statement;
  }

  #broken(reason: string): never {
    throw new AuditBroken(this.#line, reason, this.#vouchedFor);
  }
}

/** Statements about one chain that were kept outside, until their position comes. */
class HeldStatements {
  readonly #byPosition = new Map<number, Statement[]>();
  #found = 0;
  #beforeCut = 0;

  add(statement: Statement): void {
    this.#byPosition.set(statement.position, [...(this.#byPosition.get(statement.position) ?? []), statement]);
  }

  /** Those about this position, which are then done with. */
  takeAt(position: number): readonly Statement[] {
    const statements = this.#byPosition.get(position) ?? [];
    this.#byPosition.delete(position);
    this.#found += statements.length;
    return statements;
  }

  /** Those about what a cut has dropped cannot be compared any more. */
  dropBefore(position: number): void {
    for (const [one, statements] of this.#byPosition) {
      if (one >= position) continue;
      this.#beforeCut += statements.length;
      this.#byPosition.delete(one);
    }
  }

  /** A position whose turn never came. */
  leftOver(): number | undefined {
    return this.#byPosition.keys().next().value;
  }

  counts(): { held: number; heldBeforeCut: number } {
    return { held: this.#found, heldBeforeCut: this.#beforeCut };
  }
}
