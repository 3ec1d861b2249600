import type { AuditEvent } from "../../audit/events.js";
import type { RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef, standingOf } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { dockerHubHost } from "../../core/normalise-host.js";
import { type Failure, Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { openSecretVersion, type SealedValue } from "../../secrets/open-secret.js";
import { registriesFile } from "../../secrets/refuse-names.js";
import type { MintedToken } from "../providers/provider.js";
import type { BrokerDeps } from "./issue-token.js";

/** A file of a job's `/secrets`. */
export type JobFile = { name: string; contentBase64: string };

type Password = Extract<MintedToken, { kind: "password" }>;

/**
 * Tells tokens that ci-scripts can be handed from those that it cannot: it splits the file at its colon, strips it, and
 * gives the rest to `docker login` (foundriesio/ci-scripts, apps/docker_registry_client.py).
 */
export function fitForJobs(tokens: readonly MintedToken[]): { fit: Password[]; failures: Failure[] } {
  const fit: Password[] = [];
  const failures: Failure[] = [];
  for (const token of tokens) {
    const message = token.kind === "bearer" ? bearerReason : wrongWith(token);
    if (token.kind === "password" && message === undefined) fit.push(token);
    else failures.push({ registry: token.registry, code: "not-representable", message: message ?? bearerReason });
  }
  return { fit, failures };
}

/**
 * The files of a job's `/secrets`: `container-registries`, in which each registry is `generic`; a `user:token` file for
 * each, under a name that says nothing of the secret behind it; and the delivered secrets.
 */
export function jobFiles(tokens: readonly Password[], delivered: readonly DeliveredSecret[]): JobFile[] {
  const taken = new Set(delivered.map(({ name }) => name));
  const names = freeNames(taken);
  const named = tokens.map((token) => ({ token, name: names.next().value }));
  const registries = named.map(({ token, name }) => ({
    type: "generic",
    url: token.registry === dockerHubHost ? "docker.io" : token.registry,
    generic_secret_name: name,
  }));
  return [
    textFile(registriesFile, JSON.stringify(registries, undefined, 2)),
    ...named.map(({ token, name }) => textFile(name, `${token.username}:${token.password}`)),
    // A secret may have been stored under the name of the list before that was refused.
    ...delivered.filter(({ name }) => name !== registriesFile),
  ];
}

const bearerReason =
  "It gives a bearer, which is no password and which ci-scripts cannot carry. Give the azure entry its azure_tenant_id, or ask the operator for pass-through.";

function wrongWith({ username, password }: Password): string | undefined {
  if (username.includes(":") || password.includes(":"))
    return "Its user or password holds a colon, at which ci-scripts would cut it.";
  if (/\s/.test(`${username}${password}`))
    return "Its user or password holds a blank or a line end, which ci-scripts would not keep.";
  return undefined;
}

function* freeNames(taken: ReadonlySet<string>): Generator<string, never> {
  for (let number = 1; ; number += 1) {
    const name = `registry-${number}`;
    if (!taken.has(name)) yield name;
  }
}

function textFile(name: string, text: string): JobFile {
  return { name, contentBase64: Buffer.from(text, "utf8").toString("base64") };
}

/** A secret whose current version may leave in a job's `/secrets`. */
type FlaggedSecret = { id: string; name: string; version: number };

// The version is asked, not the secret: what is current is flagged itself. One that an entry names is never among them.
const flagged = `FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
  WHERE s.factory_id = $1::uuid AND s.deleted_at IS NULL AND NOT s.named AND v.deliver_to_jobs AND v.destroyed_at IS NULL`;

/** The flagged secrets of a factory as they are now, by name, and how many bytes they are, sealed. */
async function readFlagged(
  prisma: PrismaClient,
  factoryId: string,
): Promise<{ secrets: FlaggedSecret[]; bytes: number }> {
  const rows = await prisma.$queryRawUnsafe<(FlaggedSecret & { bytes: number })[]>(
    `/* read-flagged */ SELECT s.id, s.name, s.current_version AS version, octet_length(v.ciphertext) AS bytes
     ${flagged} ORDER BY s.name`,
    factoryId,
  );
  const secrets = rows.map(({ id, name, version }) => ({ id, name, version }));
  return { secrets, bytes: rows.reduce((sum, row) => sum + row.bytes, 0) };
}

/** The sealed values of those of these secrets that are as they were: still flagged, and at the same version. */
async function readSealed(
  prisma: PrismaClient,
  factoryId: string,
  secrets: readonly FlaggedSecret[],
): Promise<Map<string, SealedValue>> {
  const rows = await prisma.$queryRawUnsafe<(SealedValue & { id: string })[]>(
    `/* read-sealed */ SELECT s.id, v.data_key_id AS "dataKeyId", v.ciphertext
     ${flagged} AND (s.id, v.version) IN (SELECT * FROM unnest($2::uuid[], $3::int[]))`,
    factoryId,
    secrets.map(({ id }) => id),
    secrets.map(({ version }) => version),
  );
  return new Map(rows.map(({ id, dataKeyId, ciphertext }) => [id, { dataKeyId, ciphertext: Buffer.from(ciphertext) }]));
}

/** The value of a flagged secret, on its way into a job. */
export type DeliveredSecret = { name: string; contentBase64: string };

type Delivery = { factory: FactoryRef; caller: Caller; requested: RequestedBy };

const maxRounds = 5;

/** A job needs a few tokens and keys of them. Each delivery opens all of them, and writes an audit row for each. */
const maxDelivered = 100;
const maxDeliveredBytes = 1024 * 1024;

/**
 * Opens the secrets that are flagged for delivery, for a caller that is to have them. The audit row of each precedes
 * it is opened, and is written only if the caller was read in the generation that the factory still has and was not
 * withdrawn: for a job that has ended nothing is opened, on whichever replica it ended.
 * @returns by name; none for a caller that is not to have them
 * @throws Problem `secret-unreadable`, `limit-reached` when too many are flagged, `conflict` when the factory keeps
 *   changing
 */
export async function deliverSecrets(deps: BrokerDeps, delivery: Delivery): Promise<DeliveredSecret[]> {
  const { factory } = delivery;
  let { caller } = delivery;
  for (let round = 0; round < maxRounds; round += 1) {
    if (round > 0) caller = await deps.callers.readAgain(caller);
    if (caller.deliverSecrets !== true) return [];
    const { secrets: flagged, bytes } = await readFlagged(deps.prisma, factory.id);
    if (flagged.length > maxDelivered || bytes > maxDeliveredBytes) throw tooMuch(flagged.length, bytes);
    const stale = await findStale(deps, { ...delivery, caller }, flagged);
    if (stale) {
      if (stale.generation === undefined) throw new Problem("not-found", "The factory was deleted.");
      deps.generations.observe(factory.id, stale.generation);
      continue;
    }
    const sealed = await readSealed(deps.prisma, factory.id, flagged);
    // One of them got another version, was deleted, or lost its flag since it was read.
    if (sealed.size < flagged.length) continue;
    const opened: (DeliveredSecret | undefined)[] = [];
    for (const secret of flagged)
      opened.push(await open(deps, { factory, caller, secret, sealed: sealed.get(secret.id) }));
    if (!opened.includes(undefined)) return opened.filter((one) => one !== undefined);
  }
  throw new Problem("conflict", "The factory keeps changing. Ask again.", { retryAfterSeconds: 1 });
}

function tooMuch(count: number, bytes: number): Problem {
  return new Problem(
    "limit-reached",
    `${count} secrets of ${Math.ceil(bytes / 1024)} KiB are flagged deliverToJobs, and a job gets up to ${maxDelivered} of ${maxDeliveredBytes / 1024} KiB together. Take the flag from those that no job needs.`,
  );
}

type ToOpen = { factory: FactoryRef; caller: Caller; secret: FlaggedSecret; sealed: SealedValue | undefined };

async function open(
  deps: BrokerDeps,
  { factory, caller, secret, sealed }: ToOpen,
): Promise<DeliveredSecret | undefined> {
  const value = await openSecretVersion(deps, { factory, actor: actorOf(caller), secret, sealed });
  if (!value) return undefined;
  try {
    return { name: secret.name, contentBase64: value.revealBytes().toString("base64") };
  } finally {
    value.erase();
  }
}

async function findStale(deps: BrokerDeps, delivery: Delivery, flagged: readonly FlaggedSecret[]) {
  const condition = { generation: delivery.caller.generation, standing: standingOf(delivery.caller) };
  const outcomes = await Promise.all(
    flagged.map((secret) => deps.audit.writeIfCurrent(deliveredEvent(delivery, secret), condition)),
  );
  return outcomes.flatMap((outcome) => (outcome.written ? [] : [outcome]))[0];
}

function deliveredEvent({ factory, caller, requested }: Delivery, secret: FlaggedSecret): AuditEvent {
  return {
    at: databaseNow(),
    outcome: "allowed",
    actor: actorOf(caller),
    factory,
    ...requested,
    body: {
      action: "secret.delivered",
      secret: secret.name,
      secretVersion: secret.version,
      ...(caller.evidence && { evidence: caller.evidence }),
    },
  };
}
