import { type Load, type Measured, measureLoad, median } from "./measure-load.js";

export type Subject = { name: string; load: Load };

/** One line of the table: medians over the rounds; `ratio` is to the bare server in the same round. */
export type Comparison = Measured & { name: string; connections: number; ratio: number };

/**
 * Measures every subject in every round, the bare one too, so that a noisy minute of the machine strikes all alike.
 * The order turns from round to round.
 */
export async function compare(
  bare: Load,
  subjects: readonly Subject[],
  input: { connections: number; rounds: number; seconds: number; onRound(round: number): void },
): Promise<Comparison[]> {
  const { connections, seconds } = input;
  const all = [{ name: bareName, load: bare }, ...subjects];
  const runs = new Map(all.map(({ name }) => [name, [] as (Measured & { ratio: number })[]]));
  for (let round = 1; round <= input.rounds; round += 1) {
    input.onRound(round);
    const inRound = new Map<string, Measured>();
    const turned = all.map((_, index) => all[(index + round) % all.length]).filter((subject) => subject !== undefined);
    for (const { name, load } of turned) inRound.set(name, await measureLoad(load, { connections, seconds }));
    const reference = inRound.get(bareName)?.perSecond ?? Number.NaN;
    for (const [name, measured] of inRound)
      runs.get(name)?.push({ ...measured, ratio: measured.perSecond / reference });
  }
  return [...runs].map(([name, results]) => ({
    name,
    connections,
    perSecond: median(results.map(({ perSecond }) => perSecond)),
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
    ratio: median(results.map(({ ratio }) => ratio)),
  }));
}

const bareName = "bare Express 5, GET";
