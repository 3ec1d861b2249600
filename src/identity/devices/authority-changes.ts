import { randomUUID } from "node:crypto";
import type { z } from "zod";
import type { EventBody } from "../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { checkVersion, type Precondition } from "../../http/preconditions.js";
import { invalidCredential } from "../invalid-credential.js";
import { type DeviceAuthorityChange, type DeviceAuthorityRequest, maxAuthorities } from "./contract.js";
import { checkPolicy } from "./policy-limits.js";
import { readNewAuthority } from "./read-authority.js";
import {
  type AuthorityRow,
  authoritiesLike,
  deleteAuthority,
  findAuthority,
  holdFactory,
  insertAuthority,
  updateAuthority,
} from "./store.js";

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

export type DeviceDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  generations: Generations;
  withdrawals: Withdrawals;
};

export type DeviceChange = { factory: FactoryRef; caller: Caller; requested: RequestedBy };

/**
 * Writes one change of who the factory's devices are with its event, while no other is written. With `raises`, every
 * verdict that was made of a certificate before is made again afterwards, on each replica.
 * @throws Problem `unauthenticated`, `not-found` when the caller's credential or the factory ended meanwhile
 */
export async function writeChange<T>(
  { prisma, audit, generations }: DeviceDeps,
  { factory, caller, requested }: DeviceChange,
  write: (transaction: Transaction, at: Date) => Promise<{ written: T; body: EventBody }>,
  raises = true,
): Promise<T> {
  const at = databaseNow();
  const { written, generation } = await prisma.$transaction(async (transaction) => {
    const held = await holdFactory(transaction, { factoryId: factory.id, makerId: caller.id, raises });
    if (held === "maker-withdrawn") throw invalidCredential();
    if (held === "factory-gone") {
      throw new Problem("not-found", "There is no such factory, or this credential is not of it.");
    }
    const change = await write(transaction, at);
    const event = { at, outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const;
    await audit.writeWith(transaction, [{ ...event, body: change.body }]);
    return { written: change.written, generation: held };
  });
  generations.observe(factory.id, generation);
  return written;
}
