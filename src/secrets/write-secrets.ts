import type { EventBody } from "../audit/events.js";
import type { AuditRow, AuditWriter } from "../audit/record.js";
import type { RequestedBy } from "../audit/requested-by.js";
import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { createPauses } from "../core/pauses.js";
import { Problem } from "../core/problem.js";
import type { Plaintext } from "../crypto/plaintext.js";
import { notCurrent, type Precondition } from "../http/preconditions.js";
import { namedIsNotDelivered } from "./delivery/deliverability.js";
import type { FactoryKeys } from "./factory-keys.js";
import { jobNameWarnings, refuseJobNames } from "./job-names.js";
import { planChange, type SecretItem } from "./plan-change.js";
import { type MistakesFor, refuseUnusable } from "./refuse-unusable.js";
import type { SecretChange, SecretHead } from "./secret-change.js";
import type { SecretHeads } from "./secret-heads.js";
import type { SecretWriter } from "./secret-writer.js";
import { expiryWarnings, type SecretWarning } from "./value-warnings.js";

export type SecretsDeps = {
  audit: AuditWriter;
  factoryKeys: FactoryKeys;
  heads: SecretHeads;
  writer: SecretWriter;
  limits: { maxSecrets: number };
  /** What looks wrong with a value, knowing the entries that name the secret. */
  warningsFor(factory: FactoryRef, name: string, value: Plaintext): Promise<SecretWarning[]>;
  mistakesFor: MistakesFor;
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
  const unjudged = new Set(input.allowUnusable ? [] : current.map(({ name }) => name));
  for (const name of await refuseUnusable(
    deps,
    factory,
    current.filter(({ name }) => unjudged.has(name)),
    "remembered",
  ))
    unjudged.delete(name);
  const pause = createPauses();
  const warnings: SecretWarning[][] = [];
  for (const item of items) {
    warnings.push(item.op === "put" ? await warningsOf(deps, factory, item) : []);
    await pause();
  }
  const names = items.map((item) => item.name);
  return deps.heads.inTurn(factory.id, names, async () => {
    // A condition is judged by what is there now; without one, a stale memory costs only a second try.
    const isFree = input.precondition === undefined && items.every((item) => item.op === "delete" || !item.seen);
    let heads = await deps.heads[isFree ? "remembered" : "readAgain"](factory.id, names);
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      const now = databaseNow();
      const keys = await deps.factoryKeys.of(factory.id);
      const { precondition, caller } = input;
      const planned: (SecretChange | undefined)[] = [];
      for (const item of items) {
        const judged = !unjudged.has(item.name);
        planned.push(planChange(keys, factory.id, item, { head: heads.get(item.name), precondition, caller, judged }));
        await pause();
      }
      const changes = planned.filter((planning) => planning !== undefined);
      if (await tryWrite(deps, input, { changes, heads, warnings, at: now })) {
        deps.heads.remember(factory.id, items, changes);
        return items.map((item, index) => written(item, planned[index], warnings[index] ?? []));
      }
      // Lost twice, it may be for a key that was replaced, and the word of it has not come here yet.
      if (attempt === 1) deps.factoryKeys.forget(factory.id);
      heads = await deps.heads.readAgain(factory.id, names);
      await refuseWhatCannotSucceed(deps, input, heads);
      // It may be for an entry that names a secret since just now.
      await refuseUnusable(
        deps,
        factory,
        current.filter(({ name }) => unjudged.has(name)),
        "present",
      );
      unjudged.clear();
    }
    throw new Problem("conflict", "Too many others write these names at the same time. Try again.", {
      retryAfterSeconds: 1,
    });
  });
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
  planned: {
    changes: readonly SecretChange[];
    heads: ReadonlyMap<string, SecretHead>;
    warnings: readonly SecretWarning[][];
    at: Date;
  },
): Promise<boolean> {
  const { changes, heads, warnings, at } = planned;
  if (changes.length === 0) return true;
  const { factory, caller } = input;
  const codes = new Map(input.items.map((item, index) => [item.name, (warnings[index] ?? []).map(({ code }) => code)]));
  const audit = changes.map((change) => auditRow(deps.audit, input, change, codes.get(change.name) ?? [], at));
  try {
    return await deps.writer.write({ factoryId: factory.id, changes, at, actor: actorOf(caller), audit }, heads);
  } catch (error) {
    // The data key is gone: replaced, or the factory was just deleted.
    if (sqlState(error) === "23503") deps.factoryKeys.forget(factory.id);
    // Created by another at the same time, or two writers that waited for each other: look again.
    if (["23505", "40P01", "23503"].includes(sqlState(error) ?? "")) return false;
    // The row's own check: an entry names it and it is flagged for delivery.
    if (sqlState(error) === "23514") throw namedIsNotDelivered();
    throw error;
  }
}

// Called after a write found something changed, with what is there now.
async function refuseWhatCannotSucceed(
  deps: SecretsDeps,
  input: WriteInput,
  heads: ReadonlyMap<string, SecretHead>,
): Promise<void> {
  for (const item of input.items) {
    const head = heads.get(item.name);
    if (typeof input.precondition === "number" && head && head.currentVersion !== input.precondition) {
      throw notCurrent(head.currentVersion, input.precondition);
    }
    if (item.op === "put" && head?.named && (item.deliverToJobs ?? head.deliverToJobs)) throw namedIsNotDelivered();
  }
  const used = input.items.filter((item) => item.op === "delete" && !item.forced && heads.get(item.name)?.named);
  if (used.length > 0)
    throw await secretInUse(
      deps,
      input,
      used.map((item) => item.name),
    );
  const added = input.items.filter((item) => item.op === "put" && !heads.has(item.name)).length;
  const count = deps.heads.countOf(input.factory.id);
  if (added > 0 && count + added > deps.limits.maxSecrets) {
    const { maxSecrets } = deps.limits;
    throw new Problem(
      "limit-reached",
      `A factory holds at most ${maxSecrets} secrets, and this one has ${count}. Delete some first.`,
    );
  }
}

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
