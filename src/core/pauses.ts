import { setImmediate as nextTurn } from "node:timers/promises";

const maxHoldMs = 5;

/**
 * For long work in many small steps: `await` the result between two of them. Once they have held the event loop for
 * 5 ms, everybody else has a turn.
 */
export function createPauses(): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < maxHoldMs) return;
    await nextTurn();
    since = performance.now();
  };
}
