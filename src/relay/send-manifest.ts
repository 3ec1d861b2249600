import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { LRUCache } from "lru-cache";
import { Problem } from "../core/problem.js";
import { isDigest } from "./names.js";
import {
  askUpstream,
  discard,
  harmlessContentType,
  questionKey,
  type UpstreamAnswer,
  type UpstreamDeps,
  type UpstreamQuestion,
} from "./upstream.js";

/** The distribution specification has registries take manifests of 4 MiB at least; those that exist have kilobytes. */
const maxManifestBytes = 4 * 1024 * 1024;
const keptBytes = 32 * 1024 * 1024;
/** Of all that are on their way at once. Those that exist are so short that only made-up ones come near it. */
const maxReadingBytes = 64 * 1024 * 1024;
// A manifest that was deleted at the registry, or whose secret lost a right there, is served no longer than this.
const keptMs = 10 * 60_000;
/** For the headers and the whole of a manifest; what its credential takes is bounded by itself. */
const askMs = 20_000;

/** A whole manifest, or what a HEAD tells of it (`body` is then absent). */
export type Manifest = {
  headers: Readonly<Record<string, string>>;
  body?: Buffer;
  /** Of the body as it was computed here; without a body the one that was asked for, or that the registry says. */
  digest?: string;
};

export type ManifestDeps = UpstreamDeps & {
  /** Told of a manifest that is not what its digest says, before the request fails. */
  onDigestWrong(question: UpstreamQuestion, digest: string): Promise<void>;
};

const referenceOf = ({ path }: UpstreamQuestion): string => path.slice("manifests/".length);
/**
 * Gives manifests of registries. What was asked for by digest stays in memory for a while, by factory, entry, version of
 * the secret, repository and digest: a digest alone would show the manifest of one repository to who may pull another.
 * Equal questions at one time are one request, by tag too; its answer is kept by digest only.
 */
export class Manifests {
  readonly #kept = new LRUCache<string, Manifest>({
    maxSize: keptBytes,
    ttl: keptMs,
    sizeCalculation: ({ body, headers }) => (body?.length ?? 0) + JSON.stringify(headers).length + 1_000,
  });
  readonly #reading: Reading = { bytes: 0 };
  readonly #asking = new Map<string, Promise<Manifest>>();

  /**
   * @param question - its path begins with `manifests/`; only its `accept` goes to the registry
   * @throws as `askUpstream` does; Problem `upstream-invalid` for a manifest that is too long or not what its digest says
   */
  async get(deps: ManifestDeps, question: UpstreamQuestion): Promise<Manifest> {
    const place = questionKey(question);
    const reference = referenceOf(question);
    const kept = isDigest(reference) ? this.#kept.get(`${place} ${reference}`) : undefined;
    if (kept) return question.method === "HEAD" ? headOf(kept) : kept;
    const { accept } = question.headers;
    const key = `${place} ${question.method} ${reference} ${accept ?? ""}`;
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#ask(deps, question, place).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return unlessAborted(asking, question.signal);
  }

  /**
   * Reads the whole body of another answer, of at most 4 MiB.
   * @throws Problem `upstream-invalid` when it is longer, `upstream-unreachable` when it is broken off
   */
  readList(answer: UpstreamAnswer, host: string): Promise<Buffer> {
    return readWhole(answer, host, this.#reading);
  }

  // Others may wait for the same answer, so a client that goes away does not end it.
  async #ask(deps: ManifestDeps, question: UpstreamQuestion, place: string): Promise<Manifest> {
    const { accept } = question.headers;
    const signal = AbortSignal.timeout(askMs);
    const asked = { ...question, headers: accept === undefined ? {} : { accept }, signal };
    const manifest = await readManifest(deps, asked, this.#reading).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      const { host } = question.demand;
      throw new Problem("upstream-timeout", `${host} did not send the manifest within ${askMs / 1_000} s.`);
    });
    if (manifest.body && manifest.digest) this.#kept.set(`${place} ${manifest.digest}`, manifest);
    return manifest;
  }
}

async function readManifest(deps: ManifestDeps, question: UpstreamQuestion, reading: Reading): Promise<Manifest> {
  const answer = await askUpstream(deps, question);
  const reference = referenceOf(question);
  const stated = answer.headers["docker-content-digest"];
  if (answer.status !== 200) {
    discard(answer.body);
    throw new Problem("upstream-invalid", `${question.demand.host} answered a manifest with ${answer.status}.`);
  }
  if (question.method === "HEAD") {
    discard(answer.body);
    const digest = isDigest(reference) ? reference : stated;
    return { headers: manifestHeaders(answer, digest), ...(digest !== undefined && { digest }) };
  }
  const body = await readWhole(answer, question.demand.host, reading);
  const claimed = isDigest(reference) ? reference : stated;
  const digest = digestOf(body, claimed?.startsWith("sha512:") ? "sha512" : "sha256");
  if (claimed !== undefined && isDigest(claimed) && claimed !== digest) {
    await deps.onDigestWrong(question, claimed);
    throw new Problem("upstream-invalid", `${question.demand.host} sent a manifest that is not what its digest says.`);
  }
  return { headers: { ...manifestHeaders(answer, digest), "content-length": String(body.length) }, body, digest };
}

const digestOf = (body: Buffer, algorithm: "sha256" | "sha512"): string =>
  `${algorithm}:${createHash(algorithm).update(body).digest("hex")}`;

const shown = ["content-length", "content-type", "docker-distribution-api-version", "etag"];

function manifestHeaders({ headers }: UpstreamAnswer, digest: string | undefined): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => shown.includes(name));
  return { ...Object.fromEntries(kept), ...(digest !== undefined && { "docker-content-digest": digest }) };
}

const headOf = ({ headers, digest }: Manifest): Manifest => ({ headers, ...(digest !== undefined && { digest }) });

/** Sends a manifest, or what a HEAD tells of it. */
export function sendManifest(response: ServerResponse, { headers, body }: Manifest): void {
  response.statusCode = 200;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader("content-type", harmlessContentType(headers["content-type"]));
  response.setHeader("x-content-type-options", "nosniff");
  response.end(body);
}

/** How much of bodies is in memory while they are read. */
type Reading = { bytes: number };

async function readWhole(answer: UpstreamAnswer, host: string, reading: Reading): Promise<Buffer> {
  const tooLong = () => new Problem("upstream-invalid", `${host} answered with more than ${maxManifestBytes} bytes.`);
  const { headers, body } = answer;
  if (Number(headers["content-length"] ?? 0) > maxManifestBytes) {
    discard(body);
    throw tooLong();
  }
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      total += chunk.length;
      reading.bytes += chunk.length;
      if (total > maxManifestBytes) throw tooLong();
      if (reading.bytes > maxReadingBytes) throw tooMuchAtOnce();
    }
    return Buffer.concat(chunks, total);
  } catch (error) {
    if (error instanceof Problem) throw error;
    const sentence = `${host} closed the connection before the end of its answer.`;
    throw new Problem("upstream-unreachable", sentence, { cause: error });
  } finally {
    reading.bytes -= total;
  }
}

const tooMuchAtOnce = (): Problem =>
  new Problem("too-many-requests", "The relay is reading as many manifests as it may. Try again in 1 s.", {
    retryAfterSeconds: 1,
  });

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
