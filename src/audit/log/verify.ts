import {
  logIdOf,
  openCheckpoint,
  type PublicKey,
  readCheckpoint,
  readVerifierKey,
  type TreeHead,
} from "./checkpoint.js";
import { readEvent } from "./read-event.js";
import { append, canonicalBase64, emptyEdge, leafHash, type RightEdge, readEdge, rootOf } from "./tree.js";

/** The first place at which an export is not what was sealed. The message is a sentence for the person who checks. */
export class AuditBroken extends Error {
  override readonly name = "AuditBroken";
  constructor(
    readonly line: number,
    readonly reason: string,
    /** The log, and how many of its first events a checkpoint that fits covers. */
    readonly covered: { origin: string; size: number } | undefined,
  ) {
    super(`line ${line}: ${reason}`);
  }
}

/** What was checked of a log, when all of it held. */
export type VerifiedLog = {
  origin: string;
  /** The size of the cut: the index of the first event. */
  from: number;
  /** The size of the last checkpoint. */
  size: number;
  checkpoints: number;
  /** Kept checkpoints that fit, and those about a part that was dropped. */
  kept: number;
  keptBeforeCut: number;
  keyIds: readonly string[];
  firstAt: string | undefined;
  lastAt: string | undefined;
};

export type VerifyOptions = {
  /** Without them the keys in the export are believed, which proves only that it fits itself. */
  keys?: readonly PublicKey[] | undefined;
  /** Checkpoints that were kept elsewhere: signed notes. */
  kept?: readonly string[];
  /** Told of the number of events that were checked. */
  onProgress?: (events: number) => void;
};

/**
 * Checks an export, offline: computes the tree of each log, and compares its root with every checkpoint in the export and
 * with those that were kept elsewhere.
 * @param chunks - the export, split anywhere
 * @throws AuditBroken at the first thing that does not hold
 */
export async function verifyExport(
  chunks: AsyncIterable<string | Uint8Array>,
  options: VerifyOptions = {},
): Promise<VerifiedLog[]> {
  const verifier = new ExportVerifier(options);
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = Buffer.concat([rest, typeof chunk === "string" ? Buffer.from(chunk, "utf8") : chunk]);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      verifier.take(bytes.subarray(start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
    verifier.progress();
  }
  return verifier.end(rest);
}

/** How a line of an event begins, up to its bytes. */
const eventForm = /^\{"type":"event","log":"([0-9a-f-]{36})","index":(\d{1,15}),"id":"[^"]{0,40}","(event|bytes)":/;
/** More than the beginning of a line of an event can be long. */
const beginningLength = 200;

class ExportVerifier {
  readonly #options: VerifyOptions;
  readonly #done: VerifiedLog[] = [];
  #line = 0;
  #events = 0;
  #log: LogVerifier | undefined;
  #ended = false;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  take(line: Buffer): void {
    this.#line += 1;
    if (this.#ended) this.#fail("there is something behind the end of the export");
    const [beginning, log = "", index = "", member] = eventForm.exec(line.toString("latin1", 0, beginningLength)) ?? [];
    if (beginning !== undefined && line.at(-1) === 0x7d) {
      const told = line.subarray(beginning.length, -1);
      const leaf = member === "event" ? told : canonicalBase64(told.toString("latin1").slice(1, -1));
      if (leaf === undefined) this.#fail("the bytes of an event are not base64");
      this.#events += 1;
      this.#run((verifier) => verifier.event({ log, index: Number(index), leaf }));
    } else this.#takeOther(jsonOf(line));
  }

  progress(): void {
    this.#options.onProgress?.(this.#events);
  }

  end(rest: Buffer): VerifiedLog[] {
    this.#line += 1;
    if (rest.length > 0 || !this.#ended) this.#fail("truncation: the export stops before its end");
    return this.#done;
  }

  #takeOther(line: Readonly<Record<string, unknown>>): void {
    const { type, note } = line;
    if (type === "log" && typeof line.origin === "string") {
      this.#finishLog();
      this.#log = new LogVerifier(line.origin, this.#options);
      this.#run((verifier) => verifier.begin(textsOf(line.keys)));
    } else if (type === "cut" && typeof note === "string")
      this.#run((verifier) => verifier.cut(note, textsOf(line.edge)));
    else if (type === "checkpoint" && typeof note === "string") this.#run((verifier) => verifier.checkpoint(note));
    else if (type === "end") {
      this.#finishLog();
      if (line.logs !== this.#done.length)
        this.#fail(`there are ${this.#done.length} logs, but the export had ${line.logs}`);
      this.#ended = true;
    } else this.#fail("this is not a line of an export");
  }

  #finishLog(): void {
    if (this.#log === undefined) return;
    this.#run((verifier) => this.#done.push(verifier.end()));
    this.#log = undefined;
  }

  #run(work: (verifier: LogVerifier) => unknown): void {
    if (this.#log === undefined) this.#fail("this line does not belong to a log");
    try {
      work(this.#log);
    } catch (error) {
      if (error instanceof Rejected) this.#fail(error.message);
      throw error;
    }
  }

  #fail(reason: string): never {
    throw new AuditBroken(this.#line, reason, this.#log?.covered);
  }
}

class Rejected extends Error {}

/** Follows one log. Each method throws Rejected at the first thing that does not hold. */
class LogVerifier {
  readonly #origin: string;
  readonly #id: string;
  readonly #options: VerifyOptions;
  readonly #used = new Set<string>();
  #keys: readonly PublicKey[] = [];
  #kept: TreeHead[] = [];
  #tree: RightEdge = emptyEdge();
  #from = 0;
  #covered = 0;
  #checkpoints = 0;
  #keptThatFit = 0;
  #keptBeforeCut = 0;
  #firstAt: string | undefined;
  #last: Buffer | undefined;

  constructor(origin: string, options: VerifyOptions) {
    this.#origin = origin;
    this.#id = logIdOf(origin);
    this.#options = options;
  }

  get covered(): { origin: string; size: number } {
    return { origin: this.#origin, size: this.#covered };
  }

  begin(verifierKeys: readonly string[]): void {
    const told = verifierKeys.map((text) => readVerifierKey(text) ?? reject("one of the keys is not a verifier key"));
    this.#keys = this.#options.keys ?? told;
    const kept = (this.#options.kept ?? []).filter((note) => readCheckpoint(note)?.origin === this.#origin);
    const heads = kept.map((note) => this.#open(note, "a checkpoint that you kept"));
    this.#kept = heads.toSorted((a, b) => a.size - b.size);
    this.#compareKept();
  }

  cut(note: string, edge: readonly string[]): void {
    if (this.#tree.size > 0) reject("the cut must be the first line of its log");
    const head = this.#open(note, "the cut");
    const bytes = Buffer.concat(edge.map((node) => canonicalBase64(node) ?? reject("the cut is not base64")));
    this.#tree = edgeOf(head.size, bytes);
    this.#from = head.size;
    this.#keptBeforeCut = this.#kept.filter(({ size }) => size < head.size).length;
    this.#kept = this.#kept.slice(this.#keptBeforeCut);
    this.#mustFit(head, "the cut");
    this.#compareKept();
  }

  event({ log, index, leaf }: { log: string; index: number; leaf: Buffer }): void {
    const expected = this.#tree.size;
    if (log !== this.#id) reject("this event is of another log");
    if (index > expected) reject(`removal: the event with index ${expected} is missing`);
    if (index < expected) reject(`insertion: there is an event with index ${index} in place of ${expected}`);
    append(this.#tree, leafHash(leaf));
    if (index === this.#from) this.#firstAt = timeOf(leaf);
    this.#last = leaf;
    this.#compareKept();
  }

  checkpoint(note: string): void {
    const head = this.#open(note, "the checkpoint");
    const { size } = this.#tree;
    if (head.size > size) reject(`removal: the event with index ${size} is missing`);
    if (head.size < size) reject(`insertion: a checkpoint of size ${head.size} comes after ${size} events`);
    this.#mustFit(head, "the checkpoint");
    this.#checkpoints += 1;
  }

  end(): VerifiedLog {
    const { size } = this.#tree;
    const [left] = this.#kept;
    if (left !== undefined)
      reject(`truncation: a checkpoint that you kept is of size ${left.size}, and the log ends at ${size}`);
    if (this.#covered !== size || this.#checkpoints + this.#from === 0)
      reject(`no checkpoint covers the events from index ${this.#covered} on`);
    return {
      origin: this.#origin,
      from: this.#from,
      size,
      checkpoints: this.#checkpoints,
      kept: this.#keptThatFit,
      keptBeforeCut: this.#keptBeforeCut,
      keyIds: [...this.#used],
      firstAt: this.#firstAt,
      lastAt: this.#last && timeOf(this.#last),
    };
  }

  #compareKept(): void {
    while (this.#kept[0]?.size === this.#tree.size) {
      const head = this.#kept.shift();
      if (head !== undefined) this.#mustFit(head, "a checkpoint that you kept");
      this.#keptThatFit += 1;
    }
  }

  #open(note: string, what: string): TreeHead {
    const opened = openCheckpoint(note, this.#keys);
    if (opened.problem !== undefined) return reject(`${what} ${opened.problem}`);
    if (opened.head.origin !== this.#origin) reject(`${what} is of another log`);
    this.#used.add(opened.keyId);
    return opened.head;
  }

  #mustFit({ size, root }: TreeHead, what: string): void {
    if (!rootOf(this.#tree).equals(root))
      reject(
        `alteration: ${what} of size ${size} has another root, so one of the events from index ${this.#covered} to ${size - 1} is not the one that was sealed`,
      );
    this.#covered = size;
  }
}

function reject(reason: string): never {
  throw new Rejected(reason);
}

function edgeOf(size: number, bytes: Buffer): RightEdge {
  try {
    return readEdge(size, bytes);
  } catch {
    return reject("the cut has the edge of a tree of another size");
  }
}

function timeOf(leaf: Buffer): string | undefined {
  const at = readEvent(leaf).event?.at;
  return typeof at === "string" ? at : undefined;
}

function jsonOf(line: Buffer): Readonly<Record<string, unknown>> {
  return readEvent(line).event ?? {};
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
