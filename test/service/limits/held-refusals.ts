import { vi } from "vitest";

/** What a refusal is held back for: src/http/server.ts and src/http/guard-handshakes.ts. */
const refusalDelayMs = 1_000;

/**
 * From now on no refusal that is held back for a second comes until `release`, however long that takes: what is
 * answered before did not wait for one.
 */
export function holdRefusals(): { readonly count: number; release(): void } {
  const held: (() => void)[] = [];
  const start = globalThis.setTimeout;
  const timers = vi.spyOn(globalThis, "setTimeout").mockImplementation((run, delayMs, ...given) => {
    if (delayMs === refusalDelayMs) held.push(() => run(...given));
    return start(() => (delayMs === refusalDelayMs ? undefined : run(...given)), delayMs);
  });
  return {
    get count() {
      return held.length;
    },
    release() {
      timers.mockRestore();
      for (const run of held.splice(0)) run();
    },
  };
}
