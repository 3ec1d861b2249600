/**
 * The highest generation seen of each factory (and of the installation, for operators). Whatever is remembered
 * together with a lower one is out of date. A fact is remembered with the generation of its own snapshot,
 * so a late answer to an early read can never pass for a fresh one.
 */
export class Generations {
  readonly #highest = new Map<string, bigint>();

  observe(id: string, generation: bigint): void {
    const known = this.#highest.get(id);
    if (known === undefined || generation > known) this.#highest.set(id, generation);
  }

  isCurrent(id: string, generation: bigint): boolean {
    return generation >= (this.#highest.get(id) ?? 0n);
  }

  ids(): string[] {
    return [...this.#highest.keys()];
  }
}
