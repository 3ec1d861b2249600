import type { AuditBroken, Verified } from "../../audit/chain/verified.js";

const count = (value: number): string => value.toLocaleString("en");

const are = (value: number): string => `${count(value)} ${value === 1 ? "is" : "are"}`;

/** What is to be told beside the export itself. */
type Told = {
  keyWasGiven: boolean;
  /** How many statements were held against it. */
  held: number;
  /** What else was looked at in a database. */
  beside?: Beside;
};

/** `factories`: whose chains were compared with the installation's. `newer`: events behind what is signed. */
export type Beside = { factories: number; newer: number };

/** What was checked, for whoever asked. */
export function verifiedSentences(verified: Verified, { keyWasGiven, held, beside }: Told): string {
  const { chain, installation, from, through, cut, firstAt, lastAt } = verified;
  const whose = chain === installation ? `the installation ${chain}` : `the factory ${chain}`;
  const events = through - from + 1;
  const key = `Signed by:   ${verified.keyIds.join(", ")}`;
  return [
    events === 0 ? `Events:      none of ${whose}` : `Events:      ${count(events)} of ${whose}`,
    ...(events === 0
      ? []
      : [`Positions:   ${count(from)} to ${count(through)}`, `Time:        ${firstAt} to ${lastAt}`]),
    `End:         signed at ${verified.signedAt}`,
    ...(beside ? besideSentences(beside) : []),
    `Checkpoints: ${count(verified.checkpoints)}, each fits`,
    ...(verified.held > 0 ? [`Held:        ${count(verified.held)} of your own, each fits`] : []),
    ...notCompared(verified, held).map((text) => `Held:        ${text}`),
    ...(cut
      ? [`Cut:         up to position ${count(cut.position)}, older than ${cut.before}, signed at ${cut.at}`]
      : []),
    keyWasGiven ? key : `${key} (not given with --public-key: compare it with your copy)`,
    "Nothing was altered, removed, inserted, re-ordered or cut off.",
  ].join("\n");
}

/** Whoever misses the last events among those that are signed must not think that they were not recorded. */
function besideSentences({ factories, newer }: Beside): string[] {
  const events = `${count(newer)} ${newer === 1 ? "event" : "events"}`;
  return [
    ...(newer > 0 ? [`Newer:       ${events}, sealed or about to be, not signed yet`] : []),
    `Factories:   ${count(factories)}, each with its events in the same order`,
  ];
}

/** Whoever asked for a comparison is not told that all is well when there was none. */
export function nothingHeldSentence(verified: Verified, held: number): string {
  const why = held === 0 ? "there is no checkpoint in it" : notCompared(verified, held).join(", ");
  return `The chain fits itself, but nothing that you hold was compared with it (--checkpoint): ${why}.`;
}

function notCompared({ held, heldBeforeCut }: Verified, given: number): string[] {
  const elsewhere = given - held - heldBeforeCut;
  return [
    ...(heldBeforeCut > 0 ? [`${are(heldBeforeCut)} about what was cut off`] : []),
    ...(elsewhere > 0 ? [`${are(elsewhere)} about another chain`] : []),
  ];
}

export function brokenSentences(broken: AuditBroken): string {
  const before =
    broken.vouchedFor === 0
      ? "No signed checkpoint vouches for anything before it."
      : `A signed checkpoint vouches for everything up to position ${count(broken.vouchedFor)}.`;
  return `BROKEN at line ${count(broken.line)}: ${broken.reason}.\n${before}`;
}
