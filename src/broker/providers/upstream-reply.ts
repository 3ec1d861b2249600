import type { z } from "zod";
import { Problem } from "../../core/problem.js";
import { parseForeignJson } from "../../outbound/foreign-json.js";
import type { OutboundReply } from "../../outbound/outbound.js";
import type { CloudOutbound } from "./cloud-hosts.js";

/** The parts of a request that a message may name. */
export type Named = { entry: { id: string }; secret: { name: string; version: number } | undefined };

/** `secret "x" (version 3) of registry entry "y"`, for sentences; the federated identity of one that names no secret. */
export function nameOfCredential({ entry, secret }: Named): string {
  const credential = secret ? `secret "${secret.name}" (version ${secret.version})` : "federated identity";
  return `${credential} of registry entry "${entry.id}"`;
}

/** A secret whose text the provider cannot use. The mistakes are sentences that quote nothing. */
export function secretMalformed(request: Named, mistakes: readonly string[]): Problem {
  const shown = mistakes.slice(0, 3).join(" ");
  const more = mistakes.length > 3 ? ` (${mistakes.length - 3} more)` : "";
  return new Problem("secret-malformed", `The ${nameOfCredential(request)} cannot be used. ${shown}${more}`);
}

/** The cause of a refusal whose reason is that the credential's time is over. */
export class CredentialExpired extends Error {
  override readonly name = "CredentialExpired";
}

/** The upstream does not accept the credential. `reason` is a sentence of ours; codes may stand in it, bodies never. */
export function upstreamRefused(request: Named, upstream: string, reason: string, cause?: unknown): Problem {
  const detail = `${upstream} refused the ${nameOfCredential(request)}: ${reason}`;
  return new Problem("upstream-refused", detail, cause === undefined ? {} : { cause });
}

export function upstreamInvalid(upstream: string, reason: string): Problem {
  return new Problem("upstream-invalid", `${upstream} answered nonsense: ${reason}.`);
}

const defaultRetryAfterSeconds = 5;
const maxRetryAfterSeconds = 3_600;

/** The upstream is called too often. `retryAfter` is its header, if it sent one. */
export function upstreamThrottled(upstream: string, retryAfter: string | undefined, nowMs: number): Problem {
  const retryAfterSeconds = parseRetryAfter(retryAfter, nowMs) ?? defaultRetryAfterSeconds;
  return new Problem("upstream-throttled", `${upstream} is throttling. Try again in ${retryAfterSeconds} s.`, {
    retryAfterSeconds,
  });
}

/** Deals with the statuses that mean the same everywhere: 429 and 5xx are thrown, anything else is the caller's to read. */
export function throwUnlessAnswered(upstream: string, reply: OutboundReply, nowMs: number): void {
  if (reply.status === 429) throw upstreamThrottled(upstream, reply.headers["retry-after"]?.[0], nowMs);
  if (reply.status >= 500) {
    throw new Problem("upstream-unreachable", `${upstream} failed with status ${reply.status}. Try again later.`);
  }
}

/** Reads a JSON reply into the shape it must have. @throws Problem `upstream-invalid`, without a word of the body. */
export function readJson<S extends z.ZodType>(upstream: string, reply: OutboundReply, shape: S): z.output<S> {
  const parsed = shape.safeParse(parseJsonBody(reply));
  if (!parsed.success) throw upstreamInvalid(upstream, "its reply does not have the form of a token reply");
  return parsed.data;
}

/** The body as JSON, or `undefined` when it is not one. */
export function parseJsonBody(reply: OutboundReply): unknown {
  return parseForeignJson(reply.body);
}

/** RFC 9110, section 10.2.3: seconds, or a date. */
function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^[0-9]{1,9}$/.test(header) ? Number(header) : (Date.parse(header) - nowMs) / 1_000;
  if (!Number.isFinite(seconds)) return undefined;
  return Math.min(Math.max(1, Math.ceil(seconds)), maxRetryAfterSeconds);
}

/** POST of a form, as OAuth has it. */
export function postForm(
  outbound: CloudOutbound,
  request: { signal: AbortSignal },
  url: string,
  fields: Readonly<Record<string, string>>,
): Promise<OutboundReply> {
  return outbound.request({
    url,
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields).toString(),
    signal: request.signal,
  });
}
