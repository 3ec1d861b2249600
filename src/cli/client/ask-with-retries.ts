import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailure, exitCodes } from "./command-failure.js";
import { listAt, sentenceAt, textAt } from "./json-value.js";
import type { Terminal } from "./output.js";
import { type Answer, NoAnswer } from "./send-once.js";

/** The longest single try, so that a lost packet does not use up the whole time. */
const oneTryMs = 15_000;
const firstPauseMs = 250;
const longestPauseMs = 8_000;
/** After this long without an answer, a person is told that the command waits. */
const silenceMs = 1_000;

/** Codes of registries that gave no token and may give one later. Any other code will come again. */
const transientCodes = [
  "upstream-throttled",
  "upstream-unreachable",
  "upstream-timeout",
  "upstream-circuit-open",
  "too-many-requests",
  "unavailable",
  "conflict",
];

/** Codes of a 502 that is about the credential: it will come again. */
const permanentCodes = ["upstream-refused", "upstream-invalid"];

/** Whether a retry cannot help although the status is one that is retried. */
function isPermanent(body: unknown): boolean {
  const failures = listAt(body, "failures").map((failure) => textAt(failure, "code") ?? "");
  if (failures.length > 0) return failures.some((code) => !transientCodes.includes(code));
  return permanentCodes.includes(textAt(body, "code") ?? "");
}

/** What may be sent again: any request that failed, or only what the service has surely not done (for writes). */
export type Retries = "any-failure" | "only-if-not-done";

/**
 * Asks until a retry would not change the answer, or the time is over: then the last answer counts. Retries after any
 * answer with `Retry-After`, after 429, 502, 503, 504 and after broken connections; waits as `Retry-After` says, else with
 * exponential backoff and jitter.
 * @param ask - one try. It takes its time limit in milliseconds, and gets a new token where a token can be used only once.
 * @throws NoAnswer when the last try got no answer
 */
export async function askWithRetries(
  { say, note }: Pick<Terminal, "say" | "note">,
  giveUpAfterMs: number,
  ask: (timeoutMs: number) => Promise<Answer>,
  retries: Retries = "any-failure",
): Promise<Answer> {
  const until = Date.now() + giveUpAfterMs;
  const longestTryMs = retries === "any-failure" ? oneTryMs : giveUpAfterMs;
  const waiting = setTimeout(() => note("Waiting for the service ..."), silenceMs);
  try {
    for (let tries = 1; ; tries += 1) {
      const outcome = await oneTry(ask, Math.max(1, Math.min(longestTryMs, until - Date.now())));
      const pauseMs = mayRetry(outcome, retries) ? pauseAfter(outcome, tries) : undefined;
      if (pauseMs === undefined || Date.now() + pauseMs >= until) {
        if (outcome instanceof NoAnswer) throw outcome;
        return outcome;
      }
      clearTimeout(waiting);
      if (tries === 1) say(`${whatHappened(outcome)} Trying again for up to ${Math.ceil(giveUpAfterMs / 1_000)} s ...`);
      await sleep(pauseMs);
    }
  } finally {
    clearTimeout(waiting);
  }
}

async function oneTry(ask: (timeoutMs: number) => Promise<Answer>, timeoutMs: number): Promise<Answer | NoAnswer> {
  try {
    return await ask(timeoutMs);
  } catch (error) {
    if (error instanceof NoAnswer) return error;
    throw error;
  }
}

function mayRetry(outcome: Answer | NoAnswer, retries: Retries): boolean {
  if (retries === "any-failure") return true;
  if (outcome instanceof NoAnswer) return outcome.isNotRead;
  // A 409 with Retry-After means that another writer was first. Any other failure may have come after part of the work.
  return outcome.status === 429 || (outcome.status === 409 && outcome.retryAfterSeconds !== undefined);
}

function pauseAfter(outcome: Answer | NoAnswer, tries: number): number | undefined {
  const growing = Math.min(longestPauseMs, firstPauseMs * 2 ** (tries - 1)) * (0.5 + Math.random());
  if (outcome instanceof NoAnswer && !outcome.isTransient) return undefined;
  const { retryAfterSeconds } = outcome;
  if (!(outcome instanceof NoAnswer)) {
    const { status, body } = outcome;
    if (retryAfterSeconds === undefined && ![429, 502, 503, 504].includes(status)) return undefined;
    if (isPermanent(body)) return undefined;
  }
  return retryAfterSeconds === undefined ? growing : retryAfterSeconds * 1_000 + Math.random() * 250;
}

function whatHappened(outcome: Answer | NoAnswer): string {
  if (outcome instanceof NoAnswer) return outcome.message;
  return sentenceAt(outcome.body, "detail") ?? `The service answered ${outcome.status}.`;
}

/** The message for a request that got no answer. */
export function explainNoAnswer(
  failure: NoAnswer,
  { giveUpAfterMs, isTimeoutFixed = false }: { giveUpAfterMs: number; isTimeoutFixed?: boolean },
): CommandFailure {
  const flag = isTimeoutFixed ? "" : " (--timeout)";
  const tried = failure.isTransient ? ` Gave up after ${Math.round(giveUpAfterMs / 1_000)} s${flag}.` : "";
  const hint = failure.mayBeTls ? " Does it speak TLS? Try https://." : "";
  return new CommandFailure(exitCodes.unavailable, `${failure.message}${tried}${hint}`);
}

/** A hint for a URL with a path: the service may be at the URL without it. */
export function pathHint(url: string): string {
  const { origin, pathname } = new URL(url);
  return pathname === "/" ? "" : ` The URL has the path ${pathname}; try ${origin} without it.`;
}

/** The message for an answer of another shape than this program knows. */
export const unknownAnswer = (url: string): CommandFailure =>
  new CommandFailure(
    exitCodes.unavailable,
    `${url} answered, but not as factory-secrets does. Check FACTORY_SECRETS_URL or --url.`,
  );

/** The message for an answer that is not from the service: from a proxy in front of it, or from another server. */
export function explainForeignAnswer(url: string, { status, location }: Answer): CommandFailure {
  if (status >= 500 || status === 429)
    return new CommandFailure(
      exitCodes.unavailable,
      `${url} answered ${status}. The answer comes from a proxy in front of the service, not from the service. Try again later, or look at the proxy's log.`,
    );
  const sentence = `${url} answered ${status}, but not as factory-secrets does. Check FACTORY_SECRETS_URL or --url.${pathHint(url)}`;
  const target = location !== undefined && URL.canParse(location, url) ? new URL(location, url).origin : undefined;
  return new CommandFailure(
    exitCodes.unavailable,
    target === undefined
      ? sentence
      : `${sentence} It redirects to ${target}, and tokens are not sent to redirects. If the service is there, use that URL.`,
  );
}
