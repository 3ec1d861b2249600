import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailure, exitCodes } from "./command-failure.js";
import { listAt, sentenceAt, textAt } from "./json-value.js";
import type { Terminal } from "./output.js";
import { type Answer, NoAnswer } from "./send-once.js";

/** One try may take no longer, so that a lost packet does not use up all patience. */
const oneTryMs = 15_000;
const firstPauseMs = 250;
const longestPauseMs = 8_000;
/** After this long without an answer a person wants to know what is waited for. */
const silenceMs = 1_000;

/** What may go better later, among the codes of registries that gave no token. Every other one is said again. */
const passingCodes = [
  "upstream-throttled",
  "upstream-unreachable",
  "upstream-timeout",
  "upstream-circuit-open",
  "too-many-requests",
  "unavailable",
  "conflict",
];

/** A 502 that says what the cloud makes of the credential: it will say so again. */
const lastingCodes = ["upstream-refused", "upstream-invalid"];

/** Whether the service refuses for good, with a status that otherwise passes: for every registry, or for one of them. */
function isLasting(body: unknown): boolean {
  const failures = listAt(body, "failures").map((failure) => textAt(failure, "code") ?? "");
  if (failures.length > 0) return failures.some((code) => !passingCodes.includes(code));
  return lastingCodes.includes(textAt(body, "code") ?? "");
}

/**
 * What may be sent again: anything that got no lasting answer, or only what the service has surely not done. A write
 * whose answer was lost may have been done.
 */
export type Repeats = "whatever-failed" | "what-was-not-done";

/**
 * Asks until an answer comes that another try would not change, or until patience runs out: then the last answer counts.
 * Tries again after whatever carries `Retry-After`, after 429, 502, 503, 504 and after broken connections: when
 * `Retry-After` says so, else after a growing pause with jitter.
 * @param ask - one try. It is given its time in milliseconds, and makes a new token where a token is good only once.
 * @throws NoAnswer when the last try got none
 */
export async function askPatiently(
  { say, note }: Pick<Terminal, "say" | "note">,
  patienceMs: number,
  ask: (timeoutMs: number) => Promise<Answer>,
  repeats: Repeats = "whatever-failed",
): Promise<Answer> {
  const until = Date.now() + patienceMs;
  const longestTryMs = repeats === "whatever-failed" ? oneTryMs : patienceMs;
  const waiting = setTimeout(() => note("Waiting for the service ..."), silenceMs);
  try {
    for (let tries = 1; ; tries += 1) {
      const outcome = await oneTry(ask, Math.max(1, Math.min(longestTryMs, until - Date.now())));
      const pauseMs = mayRepeat(outcome, repeats) ? pauseAfter(outcome, tries) : undefined;
      if (pauseMs === undefined || Date.now() + pauseMs >= until) {
        if (outcome instanceof NoAnswer) throw outcome;
        return outcome;
      }
      // One sentence about waiting is enough.
      clearTimeout(waiting);
      if (tries === 1) say(`${whatHappened(outcome)} Trying again for up to ${Math.ceil(patienceMs / 1_000)} s ...`);
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

function mayRepeat(outcome: Answer | NoAnswer, repeats: Repeats): boolean {
  if (repeats === "whatever-failed") return true;
  if (outcome instanceof NoAnswer) return outcome.isUnread;
  // A 409 that asks for another try says that somebody else was first. What else is unavailable may have been half way.
  return outcome.status === 429 || (outcome.status === 409 && outcome.retryAfterSeconds !== undefined);
}

function pauseAfter(outcome: Answer | NoAnswer, tries: number): number | undefined {
  const growing = Math.min(longestPauseMs, firstPauseMs * 2 ** (tries - 1)) * (0.5 + Math.random());
  if (outcome instanceof NoAnswer && !outcome.isPassing) return undefined;
  const { retryAfterSeconds } = outcome;
  if (!(outcome instanceof NoAnswer)) {
    const { status, body } = outcome;
    if (retryAfterSeconds === undefined && ![429, 502, 503, 504].includes(status)) return undefined;
    if (isLasting(body)) return undefined;
  }
  return retryAfterSeconds === undefined ? growing : retryAfterSeconds * 1_000 + Math.random() * 250;
}

function whatHappened(outcome: Answer | NoAnswer): string {
  if (outcome instanceof NoAnswer) return outcome.message;
  return sentenceAt(outcome.body, "detail") ?? `The service answered ${outcome.status}.`;
}

/** No answer, whatever was tried. */
export function explainSilence(
  silence: NoAnswer,
  { patienceMs, isPatienceFixed = false }: { patienceMs: number; isPatienceFixed?: boolean },
): CommandFailure {
  const flag = isPatienceFixed ? "" : " (--timeout)";
  const tried = silence.isPassing ? ` Tried for ${Math.round(patienceMs / 1_000)} s${flag}.` : "";
  const hint = silence.mayBeTls ? " Does it speak TLS? Try https://." : "";
  return new CommandFailure(exitCodes.unavailable, `${silence.message}${tried}${hint}`);
}

/** Where the URL has a path, the service may be without it. */
export function pathHint(url: string): string {
  const { origin, pathname } = new URL(url);
  return pathname === "/" ? "" : ` It has the path ${pathname}; try ${origin} without it.`;
}

/** An answer that is not one of the service: of what stands in front of it, or of somebody else. */
export function explainStranger(url: string, { status, location }: Answer): CommandFailure {
  if (status >= 500 || status === 429)
    return new CommandFailure(
      exitCodes.unavailable,
      `${url} answered ${status}, which is what stands in front of the service rather than the service itself.`,
    );
  const sentence = `${url} answered ${status} and not as factory-secrets does. Is FACTORY_SECRETS_URL right?${pathHint(url)}`;
  const target = location !== undefined && URL.canParse(location, url) ? new URL(location, url).origin : undefined;
  return new CommandFailure(
    exitCodes.unavailable,
    target === undefined
      ? sentence
      : `${sentence} It redirects to ${target}, where no token is sent: if the service is there, use that URL.`,
  );
}
