import type { AuditEvent } from "../audit/events.js";
import type { AuditWriter, RequestedBy } from "../audit/record.js";

import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { type Invalid, Problem } from "../core/problem.js";
import type { PrismaClient, Transaction } from "../db/database.js";
import type { Precondition } from "../http/preconditions.js";
import { anyHostOfCloud, type Destination, destinationsOfEntries, newDestinations } from "./destinations.js";
import type { ConfigDocuments, DocumentContent } from "./read-document.js";
import { type CallSettings, remarkOnSettings } from "./remarks.js";
import { type Held, holdForPublishing, insertVersion } from "./store.js";
import { remarkOnWholeRequests } from "./whole-requests.js";

export type PublishDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  documents: ConfigDocuments;
  callSettings: CallSettings;
};

export type PublishInput = {
  factory: FactoryRef;
  caller: Caller;
  document: Buffer;
  precondition: Precondition;
  allowMissingSecrets: boolean;
  dryRun: boolean;
  reason?: string | undefined;
  restoredFrom?: number;
  requested: RequestedBy;
};

export type ConfigRemark = { at: string; message: string };
export type Published = { version: number; created: boolean; unchanged: boolean; warnings: ConfigRemark[] };

const maxAttempts = 5;
const maxEvents = 200;

/**
 * Makes a document the current config of its factory: checked, stored byte for byte, with a version of its own. With
 * `dryRun` everything is checked and nothing written.
 * @throws Problem `invalid-config`, `precondition-failed`, `destination-not-approved`
 */
export async function publishVersion(deps: PublishDeps, input: PublishInput): Promise<Published> {
  const parsed = await deps.documents.read(input.factory.id, input.document);
  if (!parsed.ok) throw invalidConfig(parsed.invalid);
  const { entries } = parsed.config;
  const remarks = [...remarkOnSettings(entries, deps.callSettings), ...remarkOnWholeRequests(entries)];
  const warnings = [...parsed.warnings, ...remarks].map(asRemark);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await deps.prisma.$transaction((transaction) =>
        publish(deps, transaction, input, parsed.config, warnings),
      );
    } catch (error) {
      // Publishers take turns, but a secret made while this one waited for the factory has a writer to wait for too.
      // Postgres ended this transaction, and nothing of it is left.
      if (sqlState(error) !== "40P01" || attempt === maxAttempts) throw error;
    }
  }
}

async function publish(
  deps: PublishDeps,
  transaction: Transaction,
  input: PublishInput,
  config: DocumentContent,
  warnings: readonly ConfigRemark[],
): Promise<Published> {
  const { factory, caller, document } = input;
  const entries = config.entries.map(({ entry }) => entry);
  const names = [...new Set(entries.flatMap(({ secretName }) => secretName ?? []))].sort();
  const held = await holdForPublishing(transaction, factory.id, names);
  if (!held) throw new Problem("not-found", "There is no such factory, or this credential is not of it.");
  checkPrecondition(input.precondition, held.currentVersion);
  const remarks = [...warnings, ...checkSecrets(config, held, input.allowMissingSecrets)];
  const wanted = destinationsOfEntries(entries);
  const added = newDestinations(held.approved, wanted);
  checkDestinations(caller, added);
  const created = held.currentVersion === undefined;
  // The same document is published once more when it needs an approval that it has not (a rule that came later).
  if (added.length === 0 && held.currentDocument?.equals(document)) {
    return { version: held.currentVersion ?? 0, created: false, unchanged: true, warnings: remarks };
  }
  if (input.dryRun) return { version: held.nextVersion, created, unchanged: false, warnings: remarks };
  const at = databaseNow();
  const { reason, restoredFrom } = input;
  const removed = newDestinations(wanted, held.approved);
  const version = held.nextVersion;
  await insertVersion(transaction, {
    ...{ factoryId: factory.id, version, document, names, added, removed, reason, restoredFrom, at },
    actor: actorOf(caller),
  });
  for (const some of slicesOf(events(input, version, added, at))) await deps.audit.writeWith(transaction, some);
  return { version, created, unchanged: false, warnings: remarks };
}

function checkPrecondition(precondition: Precondition, current: number | undefined): void {
  if (precondition === "absent" && current !== undefined) {
    throw new Problem("precondition-failed", `There is a config already, at version ${current}.`);
  }
  if (precondition === "present" && current === undefined) {
    throw new Problem("precondition-failed", "There is no config yet.");
  }
  if (typeof precondition === "number" && precondition !== current) {
    const now = current === undefined ? "There is no config yet" : `The current version is ${current}`;
    throw new Problem("precondition-failed", `${now}. Read it again, and carry your change over.`);
  }
}

function checkSecrets(config: DocumentContent, held: Held, allowMissing: boolean): ConfigRemark[] {
  const missing: Invalid[] = [];
  const delivered: Invalid[] = [];
  for (const { entry, at } of config.entries) {
    const { secretName } = entry;
    if (secretName === undefined) continue;
    const secret = held.existing.get(secretName);
    if (!secret) {
      const reason = `Secret "${secretName}" is named by registry entry ${entry.id} but does not exist. Create it: fioctl secrets update ${secretName}=...`;
      missing.push({ at, reason });
    } else if (secret.deliverToJobs) {
      const reason = `The current version of secret "${secretName}" is flagged deliverToJobs, so its value may leave in a job; a secret that opens a registry must not. Store a value with deliverToJobs false, or use another secret.`;
      delivered.push({ at, reason });
    }
  }
  if (delivered.length > 0) throw invalidConfig(delivered);
  if (missing.length > 0 && !allowMissing) throw invalidConfig(missing);
  return missing.map(asRemark);
}

const asRemark = ({ at, reason }: Invalid): ConfigRemark => ({ at, message: reason });

// Anyone who may write the config alone must not be able to send any secret to a host of their own.
function checkDestinations(caller: Caller, added: readonly Destination[]): void {
  if (added.length === 0 || caller.permissions.has("secrets:write")) return;
  const list = added
    .map(
      ({ secretName, type, host }) =>
        `"${secretName}" to ${host === anyHostOfCloud ? `any ${type} host` : `${host} (${type})`}`,
    )
    .join("; ");
  throw new Problem(
    "destination-not-approved",
    `This config would send a secret to where it is not sent now: ${list}. That takes secrets:write as well as config:write; ask someone who has both to publish it.`,
  );
}

function invalidConfig(invalid: readonly Invalid[]): Problem {
  const [first, ...more] = invalid;
  const detail = first
    ? `${first.at}: ${first.reason}${more.length > 0 ? ` (and ${more.length} more)` : ""}`
    : "Not valid.";
  return new Problem("invalid-config", detail, { invalid });
}

/** A config of thousands of new entries has as many events, and making their rows takes long enough to be noticed. */
function slicesOf<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / maxEvents) }, (_, at) =>
    all.slice(at * maxEvents, (at + 1) * maxEvents),
  );
}

function events(input: PublishInput, version: number, added: readonly Destination[], at: Date): AuditEvent[] {
  const { factory, caller, reason, restoredFrom, requested } = input;
  const event = { at, outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const;
  const published = {
    action: "config.published",
    configVersion: version,
    ...(reason !== undefined && { reason }),
    ...(restoredFrom !== undefined && { restoredFrom }),
  } as const;
  const approved = added.map(
    ({ secretName, type, host }) =>
      ({
        action: "destination.approved",
        secret: secretName,
        registryType: type,
        host,
        configVersion: version,
      }) as const,
  );
  return [published, ...approved].map((body) => ({ ...event, body }));
}
