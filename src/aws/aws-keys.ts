import { createHmac, hash, timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { FactoryFacts, Facts } from "../broker/issue/factory-facts.js";
import { atMost } from "../core/at-most.js";
import type { Caller, FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { AwsEntry } from "../factory-config/entry.js";
import type { Callers } from "../identity/callers.js";
import type { FactoryKeys } from "../secrets/factory-keys.js";
import {
  headerValues,
  type PresentedSignature,
  readSignature,
  type SignedRequest,
  signatureOf,
  toleranceMs,
} from "./signature.js";

const maxSeen = 50_000;

/** Signatures that were good, for as long as their time stamps are. In memory: it only tells the audit of a repetition. */
class SeenSignatures {
  readonly #seen: LRUCache<string, true>;

  constructor(keptMs: number) {
    this.#seen = new LRUCache({ ...atMost(maxSeen), ttl: keptMs });
  }

  /** @returns whether it had come before */
  add(signature: Buffer): boolean {
    const key = signature.toString("base64");
    const isKnown = this.#seen.has(key);
    this.#seen.set(key, true);
    return isKnown;
  }
}

/** What one pair of AWS-shaped keys is for. */
type KeyPlace = { factoryId: string; jobId: string; entryId: string };

/** As long as AWS's own: 40 characters of base64. */
const secretBytes = 30;

/**
 * The secret half of a job's AWS-shaped keys: the same at each call, and stored nowhere. HMAC-SHA256 under a key of the
 * factory, over fields with their lengths in front, so that no two places give the same bytes.
 */
export function deriveSecretAccessKey(key: Buffer, { factoryId, jobId, entryId }: KeyPlace): string {
  const hmac = createHmac("sha256", key);
  for (const field of ["aws-keys", factoryId, jobId, entryId]) {
    const bytes = Buffer.from(field, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hmac.update(length).update(bytes);
  }
  return hmac.digest().subarray(0, secretBytes).toString("base64");
}

const maxRemembered = 20_000;

/** AWS-shaped keys of one job for one registry entry. Good at this service only, for as long as the job runs. */
export type KeyPair = { accessKeyId: string; secretAccessKey: string };

/** Whose keys a request was signed with. */
export type Signer = {
  caller: Caller;
  factory: FactoryRef;
  entry: AwsEntry;
  /** The same signature had come before: a client that tries again. */
  isRepeated: boolean;
};

/**
 * The AWS-shaped keys of jobs. Nothing of a key is stored: its id names job and entry, its secret half is derived from
 * both under a key of the factory. So it ends with the job, or the entry, at once.
 */
export class AwsKeys {
  readonly #deps: { callers: Callers; facts: Facts; factoryKeys: FactoryKeys; now: () => Date };
  readonly #seen = new SeenSignatures(2 * toleranceMs);
  /** Ids of keys that have signed well. */
  readonly #remembered = new LRUCache<string, true>(atMost(maxRemembered));

  constructor(deps: { callers: Callers; facts: Facts; factoryKeys: FactoryKeys; now: () => Date }) {
    this.#deps = deps;
  }

  /** The keys of this job for this entry, always the same ones. */
  async pairOf(factory: FactoryRef, jobId: string, entry: AwsEntry): Promise<KeyPair> {
    const key = await this.#deps.factoryKeys.awsKeys(factory.id);
    const place = { factoryId: factory.id, jobId, entryId: entry.id };
    return {
      accessKeyId: accessKeyIdOf(jobId, entry.id),
      secretAccessKey: deriveSecretAccessKey(key.bytes, place),
    };
  }

  /**
   * Finds out who signed a request to Amazon ECR.
   * @param factory - the name in the path, when there is one: keys of another are not taken
   * @throws Problem `signature-refused` when the signature cannot be one for this service, now; `unauthenticated` when it
   * is not one of a job that runs, whatever is wrong with it
   */
  async authenticate(request: SignedRequest, factory: string | undefined): Promise<Signer> {
    const presented = readSignature(request, { service: "ecr", now: this.#deps.now() });
    const reference = parseAccessKeyId(presented.accessKeyId);
    if (!reference) throw keysRefused();
    if (headerValues(request, "x-amz-security-token").length > 0) {
      throw new Problem(
        "signature-refused",
        "These keys have no session token. Unset AWS_SESSION_TOKEN, or aws_session_token in ~/.aws.",
      );
    }
    const { caller, factory: own } = await this.#holderOf(reference, factory);
    const entry = await this.#entryOf(own, reference);
    await this.#verify(request, presented, { factoryId: own.id, jobId: reference.jobId, entryId: entry.id });
    if (presented.scope.region !== entry.region) {
      throw new Problem(
        "signature-refused",
        `Credential should be scoped to the region ${entry.region}, where the registry ${entry.id} is. Set AWS_DEFAULT_REGION, or --region.`,
      );
    }
    this.#remembered.set(presented.accessKeyId, true);
    return { caller, factory: own, entry, isRepeated: this.#seen.add(presented.signature) };
  }

  /** Whether the header is of keys that have signed well before. Says nothing about now. */
  remembers(authorization: string | undefined): boolean {
    const id = /^AWS4-HMAC-SHA256 +Credential=([A-Z0-9]{16,128})\//.exec(authorization ?? "")?.[1];
    return id !== undefined && this.#remembered.has(id);
  }

  async #holderOf({ jobId }: KeyReference, named: string | undefined) {
    const caller = await this.#deps.callers.withId(jobId).catch((error: unknown) => {
      throw asKeysRefused(error);
    });
    const { factory } = caller;
    const isJob = caller.kind === "job" || caller.kind === "oidc";
    if (!isJob || !factory || (named !== undefined && named !== factory.name)) throw keysRefused();
    return { caller, factory };
  }

  async #entryOf(factory: FactoryRef, { entryTag }: KeyReference): Promise<AwsEntry> {
    const { facts } = this.#deps;
    const known = await facts.of(factory);
    const entry = entryWithTag(known, entryTag);
    if (entry) return entry;
    // An entry of a moment ago, published on another replica, must not be missed.
    const newer = (await facts.areOutdated(known)) ? entryWithTag(await facts.of(factory), entryTag) : undefined;
    if (!newer) throw keysRefused();
    return newer;
  }

  async #verify(request: SignedRequest, presented: PresentedSignature, place: KeyPlace) {
    const key = await this.#deps.factoryKeys.findAwsKeys(place.factoryId);
    if (!key) throw keysRefused();
    const expected = await signatureOf(request, presented, deriveSecretAccessKey(key.bytes, place));
    if (!timingSafeEqual(expected, presented.signature)) throw keysRefused();
  }
}

/** One and the same answer to all keys that are not valid. */
const keysRefused = (): Problem =>
  new Problem(
    "unauthenticated",
    "These keys are not valid: their job has ended or expired, their registry entry is gone, or they are not copied whole. Ask for new ones in a job that runs.",
  );

/** The sentences for an invalid token, and for an entry that went away in the meantime, speak of other things than keys. */
export function asKeysRefused(error: unknown): unknown {
  const isOfKeys = error instanceof Problem && (error.code === "unauthenticated" || error.code === "registry-unknown");
  return isOfKeys ? keysRefused() : error;
}

function entryWithTag({ entries }: FactoryFacts, tag: string): AwsEntry | undefined {
  for (const { entry } of entries) if (entry.type === "aws" && entryTagOf(entry.id) === tag) return entry;
  return undefined;
}

/** Which job, and which of its entries, a key is of. The id of the key says both, so that nothing needs to be stored. */
export type KeyReference = { jobId: string; entryTag: string };

const prefix = "FSJK";
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const jobBytes = 16;
const tagBytes = 10;
const shape = new RegExp(`^${prefix}[A-Z2-7]{${Math.ceil(((jobBytes + tagBytes) * 8) / 5)}}$`);

/**
 * The id of a job's key for one registry entry: `FSJK` and 42 characters of base32. AWS gives its own ids 16 to 128
 * characters of `[A-Z0-9]`.
 */
export function accessKeyIdOf(jobId: string, entryId: string): string {
  const job = Buffer.from(jobId.replaceAll("-", ""), "hex");
  return prefix + base32(Buffer.concat([job, tagOf(entryId)]));
}

/** Reads what `accessKeyIdOf` made; `undefined` for anything else. */
export function parseAccessKeyId(text: string): KeyReference | undefined {
  if (!shape.test(text)) return undefined;
  const bytes = fromBase32(text.slice(prefix.length));
  // The last character has bits to spare: only one spelling is taken.
  if (prefix + base32(bytes) !== text) return undefined;
  const hex = bytes.subarray(0, jobBytes).toString("hex");
  const jobId = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  return { jobId, entryTag: bytes.subarray(jobBytes).toString("hex") };
}

/** How a key's id names an entry. Only a pointer: the secret half is derived from the whole id of the entry. */
export function entryTagOf(entryId: string): string {
  return tagOf(entryId).toString("hex");
}

function tagOf(entryId: string): Buffer {
  return hash("sha256", entryId, "buffer").subarray(0, tagBytes);
}

function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet.charAt(Number.parseInt(five.padEnd(5, "0"), 2))).join("");
}

function fromBase32(text: string): Buffer {
  const bits = [...text].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  return Buffer.from(Array.from({ length: jobBytes + tagBytes }, (_, at) => byteAt(bits, at)));
}

function byteAt(bits: string, at: number): number {
  return Number.parseInt(bits.slice(at * 8, at * 8 + 8), 2);
}
