import { type Reader, wholeNumber } from "./reader.js";
import type { Settings } from "./settings.js";

const most = 1_000_000;

/** How many blobs the relay sends at once, and how long one may stand still. */
export function relaySettings(reader: Reader): Settings["relay"] {
  return {
    maxStreams: wholeNumber(reader, "FACTORY_SECRETS_RELAY_MAX_STREAMS", 256, [1, 10_000]),
    maxStreamsOfCaller: wholeNumber(reader, "FACTORY_SECRETS_RELAY_MAX_STREAMS_PER_CALLER", 32, [1, 10_000]),
    idleSeconds: wholeNumber(reader, "FACTORY_SECRETS_RELAY_IDLE_SECONDS", 60, [1, 3_600]),
  };
}

/** How much of what a minute allows; 0 turns a limit off. */
export function limitSettings(reader: Reader): Settings["limits"] {
  return {
    authFailuresPerMinute: wholeNumber(reader, "FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE", 60, [0, most]),
    tokenRequestsPerMinute: wholeNumber(reader, "FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE", 600, [0, most]),
  };
}
