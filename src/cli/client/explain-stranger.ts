import { CommandFailure, exitCodes } from "./command-failure.js";
import type { Answer, NoAnswer } from "./send-once.js";

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
