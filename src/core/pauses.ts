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

/**
 * Starts the work on each item, with a turn for everybody else whenever the starts have held the event loop for 5 ms.
 * @param maxAtOnce - how much of it may be under way; unlimited when absent
 * @returns what all of it gives, in the order of the items; fails as the first that fails
 */
export async function startEach<Item, Outcome>(
  items: Iterable<Item>,
  start: (item: Item) => readonly Promise<Outcome>[],
  maxAtOnce = Number.POSITIVE_INFINITY,
): Promise<Outcome[]> {
  const pause = createPauses();
  let underWay = 0;
  let wake: () => void = () => undefined;
  const ended = (): void => {
    underWay -= 1;
    wake();
  };
  const started: Promise<Outcome>[] = [];
  for (const item of items) {
    for (const outcome of start(item)) {
      underWay += 1;
      // It can fail while others are started: this marks it handled until all are awaited.
      void outcome.then(ended, ended);
      started.push(outcome);
    }
    while (underWay >= maxAtOnce) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await pause();
  }
  return Promise.all(started);
}
