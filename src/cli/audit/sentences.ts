import type { AuditBroken, Verified } from "../../audit/chain/verified.js";

const count = (value: number): string => value.toLocaleString("en");

/** What was checked, for whoever asked. `factories`: whose chains were compared with the installation's. */
export function verifiedSentences(verified: Verified & { factories?: number }, keyWasGiven: boolean): string {
  const { chain, installation, from, through, cut, firstAt, lastAt, factories } = verified;
  const whose = chain === installation ? `the installation ${chain}` : `the factory ${chain}`;
  const events = through - from + 1;
  const key = `Signed by:   ${verified.keyIds.join(", ")}`;
  return [
    events === 0 ? `Events:      none of ${whose}` : `Events:      ${count(events)} of ${whose}`,
    ...(events === 0
      ? []
      : [`Positions:   ${count(from)} to ${count(through)}`, `Time:        ${firstAt} to ${lastAt}`]),
    `End:         signed at ${verified.signedAt}`,
    ...(factories === undefined ? [] : [`Factories:   ${count(factories)}, each with its events in the same order`]),
    `Checkpoints: ${count(verified.checkpoints)}, each fits`,
    ...(verified.held > 0 ? [`Held:        ${count(verified.held)} of your own, each fits`] : []),
    ...(verified.heldBeforeCut > 0 ? [`Held:        ${count(verified.heldBeforeCut)} are about what was cut off`] : []),
    ...(cut
      ? [`Cut:         up to position ${count(cut.position)}, older than ${cut.before}, signed at ${cut.at}`]
      : []),
    keyWasGiven ? key : `${key} (not given with --public-key: compare it with your copy)`,
    "Nothing was altered, removed, inserted, re-ordered or cut off.",
  ].join("\n");
}

export function brokenSentences(broken: AuditBroken): string {
  const before =
    broken.vouchedFor === 0
      ? "No signed checkpoint vouches for anything before it."
      : `A signed checkpoint vouches for everything up to position ${count(broken.vouchedFor)}.`;
  return `BROKEN at line ${count(broken.line)}: ${broken.reason}.\n${before}`;
}
