import type { EventBody } from "../audit/events.js";
import type { AuditRow, AuditWriter, RequestedBy } from "../audit/record.js";

import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { createPauses } from "../core/pauses.js";
import { Problem } from "../core/problem.js";
import type { Plaintext } from "../crypto/plaintext.js";
import type { Precondition } from "../http/preconditions.js";
import { namedIsNotDelivered } from "./delivery.js";
import type { FactoryKeys } from "./factory-keys.js";
import { planChange, refusalOf, type SecretItem } from "./plan-change.js";
import { jobNameWarnings, refuseJobNames } from "./refuse-names.js";
import { type ConfigVersion, type MistakesFor, refuseUnusable } from "./refuse-unusable.js";
import type { SecretHeads } from "./secret-heads.js";
import { expiryWarnings, type SecretWarning } from "./value-warnings.js";
import type { SecretChange, SecretHead, SecretWriter, WriteOutcome } from "./write-statement.js";

export type SecretsDeps = {
  audit: AuditWriter;
  factoryKeys: FactoryKeys;
  heads: SecretHeads;
  writer: SecretWriter;
  limits: { maxSecrets: number };
  /** What looks wrong with a value, knowing the entries that name the secret. */
  warningsFor(factory: FactoryRef, name: string, value: Plaintext): Promise<SecretWarning[]>;
  mistakesFor: MistakesFor;
  configVersion: ConfigVersion;
  /** The entries of the current config that name these secrets, for the sentence of a refusal. */
  entriesNaming(factory: FactoryRef, names: readonly string[]): Promise<string[]>;
};

export type Written = { name: string; version: number; created: boolean; warnings: SecretWarning[] };

export type WriteInput = {
  factory: FactoryRef;
  caller: Caller;
  items: readonly SecretItem[];
  precondition?: Precondition;
  /** The values may become current although the entries that name their secrets cannot use them. */
  allowUnusable?: boolean;
  via: "api" | "fioctl";
  requested: RequestedBy;
};

const maxAttempts = 60;

/**
 * Writes and deletes secrets, all or none, in one statement with their audit rows. A deletion of a name that does not
 * exist is no error and no change. The version is part of what is sealed, so a write is a compare-and-set on it:
 * whoever loses a race seals anew for the next version.
 * @throws Problem `invalid-request` for a name that no secret can have, `forbidden` when it would turn delivery to jobs on
 *   and the caller may not, `precondition-failed`, `secret-in-use`, `limit-reached`, `conflict`,
 *   `secret-malformed` for a value that the entries which name its secret cannot use,
 *   `key-unavailable` when the data keys that it needs do not open or cannot be asked for
 */
export async function writeSecrets(deps: SecretsDeps, input: WriteInput): Promise<Written[]> {
  const { factory, items } = input;
  refuseJobNames(items.flatMap(({ op, name }) => (op === "put" ? [name] : [])));
  // What an entry names and is flagged for delivery is refused for that.
  const current = items.flatMap((item) => (item.op === "put" && !item.staged && !item.deliverToJobs ? [item] : []));
  const judge = async (isRead: Parameters<ConfigVersion>[1]) =>
    input.allowUnusable ? undefined : refuseUnusable(deps, factory, current, isRead);
  let judgedBy = await judge("as remembered");
  const pause = createPauses();
  const warnings: SecretWarning[][] = [];
  for (const item of items) {
    warnings.push(item.op === "put" ? await warningsOf(deps, factory, item) : []);
    await pause();
  }
  const names = items.map((item) => item.name);
  return deps.heads.inTurn(factory.id, names, async () => {
    // Without a condition, a stale memory costs only a second try.
    let isRead = input.precondition !== undefined || items.some((item) => item.op === "put" && item.seen);
    let heads = await deps.heads[isRead ? "readAgain" : "remembered"](factory.id, names);
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      const refusal = await refusalOfAll(deps, input, heads);
      if (refusal && isRead) throw refusal;
      const written = refusal ? undefined : await writeOver(deps, input, { heads, warnings, judgedBy });
      if (written) return written;
      // Lost twice, it may be for a key that was replaced, and the word of it has not come here yet.
      if (attempt === 1) deps.factoryKeys.forget(factory.id);
      heads = await deps.heads.readAgain(factory.id, names);
      isRead = true;
      judgedBy = await judge("anew");
    }
    throw new Problem("conflict", "Too many others write these names at the same time. Try again.", {
      retryAfterSeconds: 1,
    });
  });
}

/** Why the items cannot be written over these heads; for deletions of what entries name, one sentence about all of them. */
async function refusalOfAll(
  deps: SecretsDeps,
  input: WriteInput,
  heads: ReadonlyMap<string, SecretHead>,
): Promise<Problem | undefined> {
  const { precondition, caller } = input;
  const used: string[] = [];
  for (const item of input.items) {
    const refusal = refusalOf(item, { head: heads.get(item.name), precondition, caller });
    if (refusal instanceof Problem) return refusal;
    if (refusal) used.push(item.name);
  }
  return used.length > 0 ? secretInUse(deps, input, used) : undefined;
}

/** @returns `undefined` when a secret, or a key, is not as it was seen. @throws Problem `limit-reached` */
async function writeOver(
  deps: SecretsDeps,
  input: WriteInput,
  {
    heads,
    warnings,
    judgedBy,
  }: {
    heads: ReadonlyMap<string, SecretHead>;
    warnings: readonly SecretWarning[][];
    judgedBy: number | undefined;
  },
): Promise<Written[] | undefined> {
  const { factory, items } = input;
  const at = databaseNow();
  const keys = await deps.factoryKeys.of(factory.id);
  const pause = createPauses();
  const planned: (SecretChange | undefined)[] = [];
  for (const item of items) {
    planned.push(planChange(keys, factory.id, item, { head: heads.get(item.name), judgedBy }));
    await pause();
  }
  const changes = planned.filter((planning) => planning !== undefined);
  const outcome = await tryWrite(deps, input, { changes, warnings, at });
  if (outcome === "changed") return undefined;
  if (outcome === "full") {
    const names = items.map(({ name }) => name);
    await deps.heads.readAgain(factory.id, names);
    const count = deps.heads.countOf(factory.id);
    const created = changes.filter(({ op }) => op === "create").length;
    // With room enough, it was another config than the one that the values were judged by.
    if (count + created <= deps.limits.maxSecrets) return undefined;
    throw limitReached(deps.limits, count);
  }
  deps.heads.remember(factory.id, items, changes);
  return items.map((item, index) => written(item, planned[index], warnings[index] ?? []));
}

async function warningsOf(
  deps: SecretsDeps,
  factory: FactoryRef,
  { name, value, expiresAt, deliverToJobs }: Extract<SecretItem, { op: "put" }>,
): Promise<SecretWarning[]> {
  const ofName = deliverToJobs ? jobNameWarnings(name) : [];
  return [...(await deps.warningsFor(factory, name, value)), ...expiryWarnings(expiresAt, databaseNow()), ...ofName];
}

function written(item: SecretItem, change: SecretChange | undefined, warnings: SecretWarning[]): Written {
  return { name: item.name, version: change?.version ?? 0, created: change?.op === "create", warnings };
}

async function tryWrite(
  deps: SecretsDeps,
  input: WriteInput,
  planned: { changes: readonly SecretChange[]; warnings: readonly SecretWarning[][]; at: Date },
): Promise<WriteOutcome> {
  const { changes, warnings, at } = planned;
  if (changes.length === 0) return "written";
  const { factory, caller } = input;
  const codes = new Map(input.items.map((item, index) => [item.name, (warnings[index] ?? []).map(({ code }) => code)]));
  const audit = changes.map((change) => auditRow(deps.audit, input, change, codes.get(change.name) ?? [], at));
  try {
    return await deps.writer.write({ factoryId: factory.id, changes, at, actor: actorOf(caller), audit });
  } catch (error) {
    // The data key is gone: replaced, or the factory was just deleted.
    if (sqlState(error) === "23503") deps.factoryKeys.forget(factory.id);
    // Created by another at the same time, or two writers that waited for each other: look again.
    if (["23505", "40P01", "23503"].includes(sqlState(error) ?? "")) return "changed";
    // The check of a new row: an entry names it and it is flagged for delivery.
    if (sqlState(error) === "23514") throw namedIsNotDelivered();
    throw error;
  }
}

const limitReached = ({ maxSecrets }: { maxSecrets: number }, count: number): Problem =>
  new Problem(
    "limit-reached",
    `A factory holds at most ${maxSecrets} secrets, and this one has ${count}. Delete some first.`,
  );

async function secretInUse(deps: SecretsDeps, input: WriteInput, names: readonly string[]): Promise<Problem> {
  const entries = await deps.entriesNaming(input.factory, names);
  const secrets = names.map((name) => `"${name}"`).join(", ");
  const named = entries.length > 0 ? entries.join(", ") : "an entry of the factory config";
  return new Problem(
    "secret-in-use",
    `The secret ${secrets} opens ${named}. Take it out of the factory config first, or force it: DELETE /v1/factories/${input.factory.name}/secrets/${names[0]}?force=true`,
  );
}

function auditRow(
  audit: AuditWriter,
  input: WriteInput,
  change: SecretChange,
  warnings: readonly string[],
  at: Date,
): AuditRow {
  const { factory, caller, via, requested } = input;
  const body: EventBody =
    change.op === "delete"
      ? {
          action: "secret.deleted",
          secret: change.name,
          via,
          ...(change.forced && { forced: true as const }),
          ...(change.purged && { purged: true as const }),
        }
      : {
          action: change.op === "stage" ? "secret.staged" : "secret.written",
          secret: change.name,
          secretVersion: change.version,
          via,
          deliverToJobs: change.deliver_to_jobs,
          ...(change.restored_from !== null && { restoredFrom: change.restored_from }),
          ...(warnings.length > 0 && { warnings }),
        };
  return audit.row({ at, outcome: "allowed", actor: actorOf(caller), factory, body, ...requested });
}
