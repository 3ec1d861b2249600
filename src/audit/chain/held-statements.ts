import type { Statement } from "./statement.js";

/** Statements about one chain that were kept outside, until their position comes. */
export class HeldStatements {
  readonly #byPosition = new Map<number, Statement[]>();
  #found = 0;
  #beforeCut = 0;

  add(statement: Statement): void {
    this.#byPosition.set(statement.position, [...(this.#byPosition.get(statement.position) ?? []), statement]);
  }

  /** Those about this position, which are then done with. */
  takeAt(position: number): readonly Statement[] {
    const statements = this.#byPosition.get(position) ?? [];
    this.#byPosition.delete(position);
    this.#found += statements.length;
    return statements;
  }

  /** Those about what a cut has dropped cannot be compared any more. */
  dropBefore(position: number): void {
    for (const [one, statements] of this.#byPosition) {
      if (one >= position) continue;
      this.#beforeCut += statements.length;
      this.#byPosition.delete(one);
    }
  }

  /** A position whose turn never came. */
  leftOver(): number | undefined {
    return this.#byPosition.keys().next().value;
  }

  counts(): { held: number; heldBeforeCut: number } {
    return { held: this.#found, heldBeforeCut: this.#beforeCut };
  }
}
