import { expect } from "vitest";

const maxTries = 5;

/** CPU seconds that this process takes while `work` goes on, in all its threads: waiting for anything takes none. */
export async function cpuSeconds(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000_000;
}

/**
 * Expects that `work` takes less CPU time than `seconds`. The least of a few tries counts, and the first that stays
 * below ends them: on a busy machine, or while the process has other things to do, a single one can be dear.
 */
export async function expectCpuSecondsBelow(seconds: number, work: () => unknown): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < maxTries && least >= seconds; tries += 1) {
    least = Math.min(least, await cpuSeconds(work));
  }
  expect(least, "CPU seconds").toBeLessThan(seconds);
}
