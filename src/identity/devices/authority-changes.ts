import { randomUUID } from "node:crypto";
import type { z } from "zod";
import type { EventBody } from "../../audit/events.js";
import { actorOf, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { Transaction } from "../../db/database.js";
import { checkVersion, type Precondition } from "../../http/preconditions.js";
import { type DeviceAuthorityChange, type DeviceAuthorityRequest, maxAuthorities } from "./contract.js";
import { checkPolicy } from "./policy-limits.js";
import { readNewAuthority } from "./read-authority.js";
import {
  type AuthorityRow,
  authoritiesLike,
  deleteAuthority,
  findAuthority,
  insertAuthority,
  updateAuthority,
} from "./store.js";
import { type DeviceChange, type DeviceDeps, writeChange } from "./write-change.js";

export type AuthorityTarget = { id: string; precondition: Precondition };

/**
 * Registers a root and its intermediates: from then on the devices that they vouch for are let in.
 * @throws Problem `forbidden` (its devices would get more than the maker has), `certificate-unsuitable`,
 *   `already-exists` (the name or the root), `limit-reached`
 */
export async function createAuthority(
  deps: DeviceDeps,
  change: DeviceChange,
  { name, certificates, policy = {} }: z.output<typeof DeviceAuthorityRequest>,
): Promise<AuthorityRow> {
  const { factory, caller } = change;
  checkPolicy(caller, policy);
  const { root, intermediates } = await readNewAuthority(certificates, databaseNow());
  const id = randomUUID();
  const fingerprint = Buffer.from(root.fingerprint, "hex");
  const subjects = [...new Set([root, ...intermediates].map(({ subjectHash }) => subjectHash))];
  return writeChange(deps, change, async (transaction, at) => {
    const like = await authoritiesLike(transaction, { factoryId: factory.id, id, name, fingerprint });
    if (like.hasName) throw nameTaken();
    if (like.hasRoot) {
      throw new Problem(
        "already-exists",
        "This root is registered for this factory already. Delete that authority first, to register it with other intermediates.",
      );
    }
    if (like.count >= maxAuthorities) {
      throw new Problem(
        "limit-reached",
        `A factory has at most ${maxAuthorities} device authorities. Delete one that is not needed.`,
      );
    }
    const authority = { id, factoryId: factory.id, name, fingerprint, subjects, certificates, policy };
    const written = await insertAuthority(transaction, { ...authority, at, actor: actorOf(caller) });
    return { written, body: authorityEvent("device-authority.created", written) };
  });
}

/**
 * Gives an authority another name and another policy. Its certificates stay: with others it would be another authority.
 * @throws Problem `forbidden`, `not-found`, `already-exists`, `precondition-failed`
 */
export async function changeAuthority(
  deps: DeviceDeps,
  change: DeviceChange,
  { id, precondition }: AuthorityTarget,
  { name, policy }: z.output<typeof DeviceAuthorityChange>,
): Promise<AuthorityRow> {
  checkPolicy(change.caller, policy);
  return writeChange(deps, change, async (transaction, at) => {
    const known = await authorityToChange(transaction, change.factory, id);
    checkVersion(known.version, precondition);
    const fingerprint = Buffer.from(known.fingerprint);
    const like = await authoritiesLike(transaction, { factoryId: change.factory.id, id, name, fingerprint });
    if (like.hasName) throw nameTaken();
    const written = await updateAuthority(transaction, id, { name, policy, at });
    return { written, body: authorityEvent("device-authority.updated", written) };
  });
}

/**
 * Withdraws an authority, and with it at once every device that came by it alone.
 * @throws Problem `not-found`, `precondition-failed`
 */
export async function removeAuthority(
  deps: DeviceDeps,
  change: DeviceChange,
  { id, precondition }: AuthorityTarget,
): Promise<void> {
  await writeChange(deps, change, async (transaction) => {
    const known = await authorityToChange(transaction, change.factory, id);
    checkVersion(known.version, precondition);
    await deleteAuthority(transaction, id);
    return { written: undefined, body: authorityEvent("device-authority.deleted", known) };
  });
}

/** The authority, while no one else changes it. @throws Problem `not-found` */
export async function authorityToChange(
  transaction: Transaction,
  factory: FactoryRef,
  id: string,
): Promise<AuthorityRow> {
  const known = await findAuthority(transaction, factory.id, id);
  if (!known) throw noSuchAuthority();
  return known;
}

type AuthorityAction = Extract<EventBody, { fingerprint: string }>["action"];

/** What the audit keeps of a change. */
export function authorityEvent(
  action: AuthorityAction,
  { id, name, fingerprint }: Pick<AuthorityRow, "id" | "name" | "fingerprint">,
): EventBody {
  return { action, authority: { id, name }, fingerprint: Buffer.from(fingerprint).toString("hex") };
}

export const noSuchAuthority = (): Problem =>
  new Problem("not-found", "There is no such device authority. List them to see which exist.");

const nameTaken = (): Problem =>
  new Problem(
    "already-exists",
    "Another device authority of this factory has this name. Choose another, or change that one.",
  );
