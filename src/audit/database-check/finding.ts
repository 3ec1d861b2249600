import { damagedSentence } from "../chain/read-event.js";

/**
 * Why the chains do not vouch for an event.
 * - `odd`: it has no seal and never will: it is none that the service can have written.
 * - `damaged`: so are its bytes, and it has a seal.
 * - `disagreeing`: its columns, by which it is found, say something else than its sealed bytes.
 * - `unsealed`: a seal is missing although everything of its time has one: it was put in behind our back, or a seal removed.
 * - `ahead`: it has no seal and names a transaction that is still to come: no sealer would look at it for a long time.
 * - `foreign`: it has a seal in the chain of another factory.
 * - `misplaced`: its seal is not what the sealer makes of the seal before it, or that one's event came later.
 * - `gone`: it has a seal, and is not there.
 */
export type Finding =
  | { id: string; reason: "odd"; why: string }
  | { id: string; reason: "damaged"; chain: string; position: number; why: string }
  | { id: string; reason: "disagreeing" | "unsealed" | "ahead" }
  | { id: string; reason: "foreign" | "misplaced" | "gone"; chain: string };

/** A sentence about what was found, without its full stop. */
export function findingSentence(finding: Finding): string {
  const event = `the event with the id ${finding.id}`;
  switch (finding.reason) {
    case "odd":
      return `${event} stands in no chain, and is none that the service can have written: ${finding.why}`;
    case "damaged":
      return damagedSentence({ ...finding, eventId: finding.id, damage: finding.why });
    case "disagreeing":
      return `the columns of ${event} say something else than the event: a search would miss it`;
    case "unsealed":
      return `${event} stands in no chain, or not in all that it belongs in, and all of its time were sealed: it was inserted later, or its seal was removed`;
    case "ahead":
      return `${event} stands in no chain, and its transaction has not begun here: it was inserted with a number of somebody's choice`;
    case "foreign":
      return `${event} stands in the chain ${finding.chain}, which is not its own`;
    case "misplaced":
      return `${event} does not follow in the chain ${finding.chain} on what stands before it: one of the two was altered, moved or inserted`;
    case "gone":
      return `${event} has a place in the chain ${finding.chain}, and is not there: it was removed`;
    default:
      return finding satisfies never;
  }
}
