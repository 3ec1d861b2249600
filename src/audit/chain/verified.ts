import type { Cut } from "./statement.js";

/** The first place at which an export is not what was sealed. The message is a sentence for whoever checks. */
export class AuditBroken extends Error {
  override readonly name = "AuditBroken";
  constructor(
    readonly line: number,
    readonly reason: string,
    /** The last position that a checkpoint vouched for; 0 when none did. */
    readonly vouchedFor: number,
  ) {
    super(`line ${line}: ${reason}`);
  }
}

/** What was checked, when all of it held. */
export type Verified = {
  chain: string;
  installation: string;
  /** Positions of the first and the last event; `through` is smaller than `from` when there is none. */
  from: number;
  through: number;
  /** When the end was signed. */
  signedAt: string;
  checkpoints: number;
  /** Statements from outside that were found in the chain, and those about a part that was cut off. */
  held: number;
  heldBeforeCut: number;
  keyIds: readonly string[];
  cut: Cut | undefined;
  firstAt: string | undefined;
  lastAt: string | undefined;
};
