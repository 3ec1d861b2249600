/** The stand-ins' time: the machine's, plus what a test has let pass. */
export class Clock {
  #offsetMs = 0;

  now(): Date {
    return new Date(Date.now() + this.#offsetMs);
  }

  /** Whole seconds since 1970, as JWT claims have them. */
  nowSeconds(): number {
    return Math.floor(this.now().getTime() / 1_000);
  }

  advance(seconds: number): void {
    this.#offsetMs += seconds * 1_000;
  }

  inSeconds(seconds: number): Date {
    return new Date(this.now().getTime() + seconds * 1_000);
  }
}
