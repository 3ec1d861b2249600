import { inspect } from "node:util";

const shown = "[plaintext]";

/**
 * The value of a secret while it is in memory. It shows itself to no one by accident: `String()`,
 * JSON, `console.log` and `util.inspect` all print a placeholder. Anyone who needs the bytes asks for them by name.
 */
export class Plaintext {
  readonly #bytes: Buffer;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Takes ownership of `bytes`: `erase` will overwrite them. */
  static fromBytes(bytes: Buffer): Plaintext {
    return new Plaintext(bytes);
  }

  static fromText(text: string): Plaintext {
    return new Plaintext(Buffer.from(text, "utf8"));
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** The bytes themselves, not a copy. */
  revealBytes(): Buffer {
    return this.#bytes;
  }

  /** The value as UTF-8 text; invalid sequences become U+FFFD. */
  revealText(): string {
    return this.#bytes.toString("utf8");
  }

  /** Overwrites the bytes. Strings made by `revealText` are out of reach and live until collected. */
  erase(): void {
    this.#bytes.fill(0);
  }

  toString(): string {
    return shown;
  }

  toJSON(): string {
    return shown;
  }

  [inspect.custom](): string {
    return shown;
  }
}
