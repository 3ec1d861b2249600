const lineFeed = 10;

/** Bytes that come in chunks, taken by the line. */
export class LineCursor {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next lines, as they come; fewer when there are no more. */
  async *take(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (!(await this.#fill())) return;
      let end = 0;
      while (left > 0) {
        const at = this.#rest.indexOf(lineFeed, end);
        if (at < 0) {
          end = this.#rest.length;
          break;
        }
        end = at + 1;
        left -= 1;
      }
      const taken = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      yield taken;
    }
  }

  /** The next line, without its end. @returns `undefined` when there is none of at most `maxBytes` */
  async line(maxBytes: number): Promise<string | undefined> {
    const parts: Buffer[] = [];
    let length = 0;
    while (length <= maxBytes && (await this.#fill())) {
      const at = this.#rest.indexOf(lineFeed);
      const end = at < 0 ? this.#rest.length : at;
      parts.push(this.#rest.subarray(0, end));
      length += end;
      this.#rest = this.#rest.subarray(at < 0 ? end : end + 1);
      if (at >= 0) return length <= maxBytes ? Buffer.concat(parts).toString("utf8") : undefined;
    }
    return undefined;
  }

  /** All that is left. */
  async *rest(): AsyncGenerator<Buffer> {
    while (await this.#fill()) {
      const taken = this.#rest;
      this.#rest = Buffer.alloc(0);
      yield taken;
    }
  }

  /** Lets go of the source, wherever it stands. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  /** @returns false at the end */
  async #fill(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done) return false;
      this.#rest = next.value;
    }
    return true;
  }
}
