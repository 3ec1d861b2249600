import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import {
  authorityEvent,
  authorityToChange,
  type DeviceChange,
  type DeviceDeps,
  noSuchAuthority,
  writeChange,
} from "./authority-changes.js";
import { readPemBlocks, strictBase64 } from "./certificate.js";
import { DevicePolicy } from "./contract.js";
import { type AuthorityCertificates, readAuthority, unsuitable } from "./read-authority.js";
import { maxRevocationListBytes, type RevocationList, type RevocationLists } from "./revocation-lists.js";

import { type AuthorityRow, findAuthority, updateAuthority } from "./store.js";

/** A list of which the issuer's clock and ours may disagree. */
const maxSkewMs = 5 * 60_000;

/**
 * Puts a revocation list in the place of its issuer's one before.
 * @param text - the list: PEM, or base64 of its DER
 * @throws Problem `certificate-unsuitable` with the sentence why (not signed by this authority, older than the one
 *   before, past its nextUpdate, ...), `not-found`, `conflict` when another list arrived meanwhile
 */
export async function replaceRevocationList(
  deps: DeviceDeps & { revocationLists: RevocationLists },
  change: DeviceChange,
  id: string,
  text: string,
): Promise<RevocationList> {
  // Signatures are verified before the transaction: others wait for it.
  const { row, certificates, lists } = await readForLists(deps, change.factory, id);
  const list = await deps.revocationLists.read(change.factory.id, certificates, derOf(text));
  if ("unsuitable" in list) throw unsuitable(list.unsuitable);
  const stale = DevicePolicy.parse(row.policy).allowStaleRevocationLists ?? false;
  checkTimes(list, stale, databaseNow());
  const before = lists.find(({ issuerFingerprint }) => issuerFingerprint === list.issuerFingerprint);
  if (before) checkLater(list, before);
  const kept = lists.filter((other) => other !== before);
  return writeChange(deps, change, async (transaction, at) => {
    const known = await authorityToChange(transaction, change.factory, id);
    if (!areSame(known.revocationLists, row.revocationLists)) {
      throw new Problem(
        "conflict",
        "Another revocation list of this authority arrived at the same time. Send it again.",
      );
    }
    const revocationLists = [...kept, list].map(({ der }) => der);
    const written = await updateAuthority(transaction, id, { revocationLists, at });
    return { written: list, body: authorityEvent("device-authority.updated", written) };
  });
}

/**
 * An authority with its certificates and lists, read.
 * @throws Problem `not-found`; Error when what is stored cannot be read: it could when it was stored
 */
export async function readForLists(
  { prisma, revocationLists }: Pick<DeviceDeps, "prisma"> & { revocationLists: RevocationLists },
  factory: FactoryRef,
  id: string,
): Promise<{ row: AuthorityRow; certificates: AuthorityCertificates; lists: readonly RevocationList[] }> {
  const row = await findAuthority(prisma, factory.id, id);
  if (!row) throw noSuchAuthority();
  const certificates = readAuthority(row.certificates);
  if (!certificates) throw new Error("a stored device authority cannot be read");
  const lists = await revocationLists.readStored(factory.id, certificates, row.revocationLists);
  return { row, certificates, lists };
}

function derOf(text: string): Buffer {
  const isPem = text.includes("-----BEGIN");
  const blocks = isPem ? readPemBlocks(text, "X509 CRL") : [strictBase64(text)];
  const [der] = blocks ?? [];
  if (der === undefined || blocks?.length !== 1) {
    throw unsuitable("Send one revocation list and nothing else: PEM (BEGIN X509 CRL), or base64 of its DER.");
  }
  if (der.length > maxRevocationListBytes) {
    throw unsuitable(`The list has ${der.length} bytes; ${maxRevocationListBytes} are taken.`);
  }
  return der;
}

function checkTimes({ thisUpdate, nextUpdate }: RevocationList, mayBeStale: boolean, now: Date): void {
  if (thisUpdate.getTime() > now.getTime() + maxSkewMs) {
    throw unsuitable(`The list is of the future: its thisUpdate is ${thisUpdate.toISOString()}.`);
  }
  if (nextUpdate < now && !mayBeStale) {
    throw unsuitable(
      `The list's nextUpdate, ${nextUpdate.toISOString()}, has passed: all its devices would be refused. Send a later list.`,
    );
  }
}

// What was revoked must not come back by a list from before.
function checkLater(list: RevocationList, before: RevocationList): void {
  if (list.der.equals(before.der)) return;
  if (list.number > before.number && list.thisUpdate >= before.thisUpdate) return;
  throw unsuitable(
    `The list is no later than the one before, which has the number ${before.number} and is of ${before.thisUpdate.toISOString()}.`,
  );
}

function areSame(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return (
    some.length === others.length &&
    some.every((one, at) => {
      const other = others[at];
      return other !== undefined && Buffer.from(one).equals(other);
    })
  );
}
