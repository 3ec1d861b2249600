import { type Reader, wholeNumber } from "./reader.js";
import type { Settings } from "./settings.js";

const most = 1_000_000;

/** How much of what a minute allows; 0 turns a limit off. */
export function limitSettings(reader: Reader): Settings["limits"] {
  return {
    authFailuresPerMinute: wholeNumber(reader, "FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE", 60, [0, most]),
    tokenRequestsPerMinute: wholeNumber(reader, "FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE", 600, [0, most]),
  };
}
