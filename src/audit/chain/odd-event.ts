import { isPlace } from "./export-format.js";
import { readEvent } from "./read-event.js";
import { isChainId } from "./statement.js";
import type { UnsealedEvent } from "./store.js";

export const noPlace = "its id, its writer or its sequence is none that the service gives";

/**
 * Why the sealer passes over an event: it is none that the service can have written, and no export could be read back
 * that holds it. Somebody wrote it into the database directly. One such row in a chain, and nobody could verify what
 * stands behind it; one that stopped the sealer, and nothing would be sealed any more. So it gets no place: the chains
 * stay whole, and `audit verify` tells of it as of everything that stands beside them.
 * @returns `undefined` for every other event
 */
export function oddityOf(row: Omit<UnsealedEvent, "xid">, installation: string): string | undefined {
  const { id, writer, sequence, factory_id, event } = row;
  if (!isPlace({ id: String(id), writer, sequence: Number(sequence) })) return noPlace;
  if (factory_id !== null && (factory_id === installation || !isChainId(factory_id)))
    return "it names a factory that cannot be";
  return readEvent(Buffer.from(event)).damage;
}
