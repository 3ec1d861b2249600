import { beforeFirst, factoryLinkForm, linkHash } from "../../chain/link.js";
import type { ReadEvent } from "../../chain/read-event.js";
import type { Head } from "../../chain/store.js";
import type { Finding } from "../finding.js";
import type { Columns, FactoryPlace, PlacedEvent } from "./store.js";

/**
 * Looks at the places of events while the chain of the installation is followed in its order: each event must have one
 * in that chain and one in that of its factory, which follows there on the last one of the same factory, and no other.
 * So the chain of a factory has the events that it should, in the order of the installation. Keeps an end for each chain.
 */
export class Places {
  readonly #installation: string;
  readonly #ends: Map<string, Head>;
  /** Up to here somebody else looks at the hashes of the installation's chain, against what was signed. */
  readonly #through: number;

  /** @param cuts where the chains that were cut go on: whether the cuts are genuine is looked at elsewhere */
  constructor(installation: string, through: number, cuts: ReadonlyMap<string, Head>) {
    this.#installation = installation;
    this.#through = through;
    this.#ends = new Map(cuts);
  }

  /** @returns why the chains do not vouch for this event */
  check(placed: PlacedEvent, read: ReadEvent): Finding | undefined {
    const { sealed, columns, others } = placed;
    const { eventId: id, position } = sealed;
    const chain = this.#installation;
    const misplaced = this.#misplaced(placed);
    if (read.event === undefined) return { id, reason: "damaged", chain, position, why: read.damage };
    if (!agree(columns, read.event)) return { id, reason: "disagreeing" };
    const { factoryId } = columns;
    if (factoryId !== null && !others.some((other) => other.chain === factoryId)) return { id, reason: "unsealed" };
    const stranger = others.find((other) => other.chain !== factoryId);
    if (stranger !== undefined) return { id, reason: "foreign", chain: stranger.chain };
    return misplaced === undefined ? undefined : { id, reason: "misplaced", chain: misplaced };
  }

  /** The first chain in which the event does not follow. All ends move on, whatever is found. */
  #misplaced({ sealed, others }: PlacedEvent): string | undefined {
    const chain = this.#installation;
    let misplaced = this.#follows({ chain, position: sealed.position, hash: sealed.hash }, sealed) ? undefined : chain;
    for (const other of others) if (!this.#follows(other, sealed)) misplaced ??= other.chain;
    return misplaced;
  }

  #follows(place: FactoryPlace, sealed: PlacedEvent["sealed"]): boolean {
    const end = this.#ends.get(place.chain) ?? { position: 0, hash: beforeFirst };
    this.#ends.set(place.chain, place);
    if (place.position !== end.position + 1) return false;
    if (place.chain === this.#installation && place.position <= this.#through) return true;
    const { chain, position, hash } = place;
    const { eventId, writer, sequence, event } = sealed;
    const link = { chain, position, eventId, writer, sequence, event };
    if (chain === this.#installation) return linkHash(end.hash, link).equals(hash);
    return factoryLinkForm(end.hash, { ...link, hash }) !== undefined;
  }
}

/** Whether the columns by which an event is found say what it says itself. */
export function agree(columns: Columns, event: Readonly<Record<string, unknown>>): boolean {
  const { at, action, outcome, actor, factory, secret } = event;
  return (
    columns.atMs === Date.parse(textOf(at) ?? "") &&
    columns.action === textOf(action) &&
    columns.outcome === textOf(outcome) &&
    columns.actorKind === textOf(memberOf(actor, "kind")) &&
    columns.actorId === (textOf(memberOf(actor, "id")) || null) &&
    columns.factoryId === (textOf(memberOf(factory, "id")) ?? null) &&
    columns.secret === (textOf(secret) ?? null)
  );
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

function memberOf(value: unknown, name: "id" | "kind"): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (name === "id") return "id" in value ? value.id : undefined;
  return "kind" in value ? value.kind : undefined;
}
