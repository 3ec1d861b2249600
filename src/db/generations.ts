/** After so long without a question a factory is forgotten, and the poll asks for it no more. */
const rememberMs = 10 * 60_000;

/**
 * The highest generation seen of each factory (and of the installation, for operators) that someone asked for lately.
 * Whatever is remembered together with a lower one is out of date. A fact is remembered with the generation of its own
 * snapshot, so a late answer to an early read can never pass for a fresh one.
 */
export class Generations {
  readonly #known = new Map<string, { highest: bigint; askedAtMs: number }>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  observe(id: string, generation: bigint): void {
    const known = this.#known.get(id);
    if (known === undefined) this.#known.set(id, { highest: generation, askedAtMs: this.#nowMs() });
    else if (generation > known.highest) known.highest = generation;
  }

  /** False for a factory that was forgotten too: no one watched it in the meantime, so it must be read anew. */
  isCurrent(id: string, generation: bigint): boolean {
    const known = this.#known.get(id);
    if (known === undefined) return false;
    known.askedAtMs = this.#nowMs();
    return generation >= known.highest;
  }

  /** The factories to watch. Those that no one asked for lately are forgotten. */
  ids(): string[] {
    const oldestMs = this.#nowMs() - rememberMs;
    for (const [id, { askedAtMs }] of this.#known) if (askedAtMs < oldestMs) this.#known.delete(id);
    return [...this.#known.keys()];
  }
}
