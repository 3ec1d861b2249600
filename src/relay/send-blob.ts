import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { Problem } from "../core/problem.js";
import type { RelayStreams } from "../limits/relay-streams.js";
import { isDigest } from "./names.js";
import {
  askUpstream,
  discard,
  harmlessContentType,
  type UpstreamAnswer,
  type UpstreamDeps,
  type UpstreamQuestion,
} from "./upstream.js";

/** How a blob ended. `redirected`: the client was sent to where it is. */
export type BlobOutcome =
  | "complete"
  | "part"
  | "redirected"
  | "digest-wrong"
  | "registry-broke-off"
  | "client-broke-off"
  | "registry-stalled"
  | "client-stalled";

type Ended = { outcome: BlobOutcome; bytes: number };

export type BlobDeps = UpstreamDeps & {
  streams: RelayStreams;
  /** How long no byte may move before the connection is cut. */
  idleMs: number;
  /** Told of each blob once it has ended; `bytes` are those that the client was sent. */
  onBlob(question: UpstreamQuestion, ended: Ended): void;
  /** Told of a blob that is not what its digest says. */
  onDigestWrong(question: UpstreamQuestion, digest: string): Promise<void>;
};

const singleRange = /^bytes=(?:\d{1,15}-\d{0,15}|-\d{1,15})$/;

/**
 * Asks for a blob and sends what comes: the registry's redirect as 307, or the bytes. Resolves when the answer has ended
 * in whichever way; `onBlob` is told how.
 *
 * A whole blob is hashed on its way, and its last bytes are held back until the digest is right: who receives a wrong one
 * sees a connection that broke. Only one range at a time goes to the registry; a client that asks for several gets the
 * whole (RFC 9110, section 14.2).
 *
 * @param question - its path is `blobs/<digest>`
 * @param caller - names whom the place among the streams counts for
 * @throws as `askUpstream` does, and Problem `too-many-requests`, before anything was sent
 */
export async function relayBlob(
  deps: BlobDeps,
  question: UpstreamQuestion,
  caller: string,
  response: ServerResponse,
): Promise<void> {
  const leave = deps.streams.enter(caller);
  const gone = new AbortController();
  const onClose = () => gone.abort(new Error("The client has gone away."));
  response.once("close", onClose);
  try {
    const signal = AbortSignal.any([question.signal, gone.signal]);
    const asked = { ...question, headers: withOneRange(question.headers), signal };
    const answer = await askUpstream(deps, asked);
    await sendBlob(deps, asked, answer, response);
  } finally {
    response.off("close", onClose);
    leave();
  }
}

function withOneRange(headers: UpstreamQuestion["headers"]): UpstreamQuestion["headers"] {
  const { range, "if-range": ifRange, ...others } = headers;
  if (range === undefined || !singleRange.test(range)) return others;
  return { ...others, range, ...(ifRange !== undefined && { "if-range": ifRange }) };
}

/** Sends what the registry answered to a question for a blob. @throws Problem while nothing was sent */
export async function sendBlob(
  deps: Pick<BlobDeps, "idleMs" | "onBlob" | "onDigestWrong">,
  question: UpstreamQuestion,
  answer: UpstreamAnswer,
  response: ServerResponse,
): Promise<void> {
  const digest = question.path.slice("blobs/".length);
  const refusal = refusalOf(question, answer, digest);
  if (refusal !== undefined) {
    discard(answer.body);
    throw refusal;
  }
  response.statusCode = answer.status;
  const headers = blobHeaders(answer, digest);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (question.method === "HEAD" || answer.status === 307 || answer.status === 304) {
    discard(answer.body);
    response.end();
    if (answer.status === 307) deps.onBlob(question, { outcome: "redirected", bytes: 0 });
    return;
  }
  const ended = await sendBody(response, answer.body, { hash: hashOf(answer, digest), digest, idleMs: deps.idleMs });
  deps.onBlob(question, ended);
  if (ended.outcome === "complete" || ended.outcome === "part") return;
  if (ended.outcome === "digest-wrong") await deps.onDigestWrong(question, digest);
  if (ended.outcome === "registry-broke-off" && !response.headersSent && !response.destroyed) {
    for (const name of Object.keys(headers)) response.removeHeader(name);
    throw new Problem("upstream-unreachable", `${question.demand.host} broke off before it sent anything of the blob.`);
  }
  // A part must not look like the whole.
  response.destroy();
}

function refusalOf(
  { demand, headers: asked }: UpstreamQuestion,
  { status, headers }: UpstreamAnswer,
  digest: string,
): Problem | undefined {
  const invalid = (what: string) => new Problem("upstream-invalid", `${demand.host} answered ${what}.`);
  if (!isDigest(digest)) return new Problem("invalid-request", "A blob is named by its sha256 or sha512 digest.");
  if (status !== 206) return undefined;
  if (asked.range === undefined) return invalid("with a part of a blob although the whole was asked for");
  if (!partForm.test(headers["content-range"] ?? "")) return invalid("with a part of a blob without telling which");
  return undefined;
}

const partForm = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/;

/** What hashes the body, if it is a whole blob; of a part nothing can be said. */
function hashOf({ status, headers }: UpstreamAnswer, digest: string): Hash | undefined {
  const [, first, last, size] = partForm.exec(headers["content-range"] ?? "") ?? [];
  const isWhole = status === 200 || (Number(first) === 0 && Number(last) + 1 === Number(size));
  return isWhole ? createHash(digest.startsWith("sha512:") ? "sha512" : "sha256") : undefined;
}

const shown = ["accept-ranges", "content-length", "docker-distribution-api-version", "etag", "last-modified"];

function blobHeaders({ status, headers }: UpstreamAnswer, digest: string): Record<string, string> {
  if (status === 307) return { location: headers.location ?? "", "content-length": "0" };
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => shown.includes(name)));
  const range = headers["content-range"];
  return {
    ...kept,
    ...(status === 206 && range !== undefined && { "content-range": range }),
    "content-type": harmlessContentType(headers["content-type"]),
    "docker-content-digest": digest,
    "x-content-type-options": "nosniff",
  };
}

type Checked = { hash: Hash | undefined; digest: string; idleMs: number };

/** Sends the body as fast as the client takes it, its last bytes once the digest is right. */
async function sendBody(response: ServerResponse, body: Readable, checked: Checked): Promise<Ended> {
  const ended: Ended = { outcome: checked.hash ? "complete" : "part", bytes: 0 };
  const stop = new AbortController();
  const end = (outcome: BlobOutcome) => {
    if (stop.signal.aborted) return;
    ended.outcome = outcome;
    stop.abort();
    body.destroy();
  };
  const onClose = () => end("client-broke-off");
  response.once("close", onClose);
  response.setTimeout(checked.idleMs, () => end(response.writableLength > 0 ? "client-stalled" : "registry-stalled"));
  if (response.destroyed) onClose();
  try {
    await pass(response, body, { ...checked, ended, signal: stop.signal });
  } catch {
    // Whatever it is, the registry's connection has ended before the body has.
    end("registry-broke-off");
  }
  response.off("close", onClose);
  return ended;
}

async function pass(
  response: ServerResponse,
  body: Readable,
  { hash, digest, ended, signal }: Checked & { ended: Ended; signal: AbortSignal },
): Promise<void> {
  let held: Buffer | undefined;
  for await (const chunk of body) {
    hash?.update(chunk);
    if (held !== undefined) {
      ended.bytes += held.length;
      if (!response.write(held)) await once(response, "drain", { signal });
    }
    held = chunk;
  }
  if (signal.aborted) return;
  if (hash && `${digest.slice(0, "sha256:".length)}${hash.digest("hex")}` !== digest) {
    ended.outcome = "digest-wrong";
    return;
  }
  response.end(held);
  await once(response, "finish", { signal });
  ended.bytes += held?.length ?? 0;
}
