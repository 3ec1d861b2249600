import { randomUUID } from "node:crypto";
import type { EventBody } from "../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import { type Actor, actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Grant } from "../../core/grant.js";
import { type Permission, roles as permissionsOfRoles, type Role } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { invalidCredential } from "../invalid-credential.js";
import { createToken, hashToken } from "../token.js";
import { insertCredential } from "./store.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter };

/** What was made. The token itself exists only here and in the reply. */
export type Created = { id: string; token: string; createdAt: Date; expiresAt?: Date };

/**
 * Makes an operator token. Without a maker (first start, or the command line of whoever holds the database) the
 * actor is the service.
 */
export async function createOperatorToken(
  deps: Deps,
  input: { name: string; maker: Caller | undefined; requested?: RequestedBy },
): Promise<Created> {
  const actor: Actor = input.maker ? actorOf(input.maker) : { kind: "service", id: "", name: "factory-secrets" };
  return create(deps, {
    kind: "operator",
    name: input.name,
    factory: undefined,
    permissions: [],
    roles: [],
    grants: undefined,
    expiresAt: undefined,
    maker: input.maker,
    derived: false,
    actor,
    requested: input.requested,
    event: (credential) => ({ action: "operator-token.created", credential }),
  });
}

/** Makes an API token. It can do nothing that its maker cannot, and lives no longer. */
export async function createApiToken(
  deps: Deps,
  input: {
    name: string;
    asked: Parameters<typeof grantedPermissions>[1];
    expiresAt: Date | undefined;
    maker: Caller;
    factory: FactoryRef;
    requested: RequestedBy;
  },
): Promise<Created & Granted> {
  const { maker } = input;
  const granted = grantedPermissions(maker, input.asked);
  const expiresAt = grantedExpiry(maker, input.expiresAt, databaseNow());
  const created = await create(deps, {
    kind: "api-token",
    name: input.name,
    factory: input.factory,
    ...granted,
    grants: undefined,
    expiresAt,
    maker,
    derived: false,
    actor: actorOf(maker),
    requested: input.requested,
    event: (credential) => ({
      action: "api-token.created",
      credential,
      permissions: granted.permissions,
      ...(granted.roles.length > 0 && { roles: granted.roles }),
      ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
    }),
  });
  return { ...created, ...granted };
}

/** Opens a CI job. Its token ends with it, with its maker, or after `ttlSeconds`, whichever comes first. */
export async function openJob(
  deps: Deps,
  input: {
    name: string;
    ttlSeconds: number;
    grants: readonly Grant[] | undefined;
    deliverSecrets: boolean;
    maker: Caller;
    factory: FactoryRef;
    requested: RequestedBy;
  },
): Promise<Created & { expiresAt: Date }> {
  const wanted = new Date(databaseNow().getTime() + input.ttlSeconds * 1000);
  const { maker } = input;
  const expiresAt = maker.expiresAt && maker.expiresAt < wanted ? maker.expiresAt : wanted;
  const created = await create(deps, {
    kind: "job",
    name: input.name,
    factory: input.factory,
    permissions: [],
    roles: [],
    grants: input.grants,
    deliverSecrets: input.deliverSecrets,
    expiresAt,
    maker,
    derived: true,
    actor: actorOf(maker),
    requested: input.requested,
    event: (credential) => ({
      action: "job.opened",
      credential,
      expiresAt: expiresAt.toISOString(),
      ...(input.grants && { grants: input.grants }),
      ...(input.deliverSecrets && { deliverSecrets: true as const }),
    }),
  });
  return { ...created, expiresAt };
}

async function create(
  deps: Deps,
  input: {
    kind: "operator" | "api-token" | "job";
    name: string;
    factory: FactoryRef | undefined;
    permissions: readonly Permission[];
    roles: readonly Role[];
    grants: readonly Grant[] | undefined;
    deliverSecrets?: boolean;
    expiresAt: Date | undefined;
    maker: Caller | undefined;
    /** A derived credential is withdrawn together with its maker. */
    derived: boolean;
    actor: Actor;
    requested: RequestedBy | undefined;
    event: (credential: { id: string; name: string }) => EventBody;
  },
): Promise<Created> {
  const { kind, name, factory, permissions, roles, grants, expiresAt, maker, actor, requested } = input;
  const id = randomUUID();
  const token = createToken(kind);
  const createdAt = databaseNow();
  const audit = deps.audit.row({
    at: createdAt,
    outcome: "allowed",
    actor,
    body: input.event({ id, name }),
    ...(factory && { factory }),
    ...requested,
  });
  const parentId = input.derived ? maker?.id : undefined;
  const { deliverSecrets } = input;
  const held = { permissions, roles, grants, deliverSecrets };
  const credential = { id, kind, name, ...held, createdAt, expiresAt, createdBy: actor, parentId };
  const stored = { ...credential, factoryId: factory?.id, tokenHash: hashToken(token) };
  if (!(await insertCredential(deps.prisma, stored, maker?.id, audit))) throw invalidCredential();
  return { id, token, createdAt, ...(expiresAt && { expiresAt }) };
}

/**
 * How long a credential that is asked for may live.
 * @param asked - `undefined` for as long as its maker
 * @throws Problem `invalid-request` for a time that is past; `forbidden` for one after its maker's own
 */
export function grantedExpiry(maker: Pick<Caller, "expiresAt">, asked: Date | undefined, now: Date): Date | undefined {
  if (asked && asked <= now) {
    throw new Problem("invalid-request", "/expiresAt: lies in the past", {
      invalid: [{ at: "/expiresAt", reason: "lies in the past" }],
    });
  }
  if (maker.expiresAt && asked && asked > maker.expiresAt) {
    throw new Problem(
      "forbidden",
      `A token never outlives its maker, which expires at ${maker.expiresAt.toISOString()}.`,
    );
  }
  return asked ?? maker.expiresAt;
}

/** What a new credential is given: all its permissions, each once, and the roles that some of them were asked for as. */
export type Granted = { permissions: readonly Permission[]; roles: readonly Role[] };

/**
 * What a credential that is asked for in permissions, in roles or in both may have. A role counts as what it holds
 * today: a later release that adds to it gives nothing to those who hold it already.
 * @throws Problem `invalid-request` when neither is named; `forbidden` for anything that the maker lacks
 */
export function grantedPermissions(
  maker: Pick<Caller, "permissions" | "grants">,
  asked: { permissions?: readonly Permission[] | undefined; roles?: readonly Role[] | undefined },
): Granted {
  const roles = [...new Set(asked.roles)];
  const permissions = [
    ...new Set([...(asked.permissions ?? []), ...roles.flatMap((role) => [...permissionsOfRoles[role]])]),
  ];
  if (permissions.length === 0) throw nothingAsked();
  const beyond = permissions.filter((permission) => !maker.permissions.has(permission));
  if (beyond.length > 0) {
    throw new Problem(
      "forbidden",
      `A token never grants more than its maker has: this credential lacks ${beyond.join(", ")}.`,
    );
  }
  // What is made here has no grants, and so reaches every registry.
  if (maker.grants) throw new Problem("forbidden", "A credential that is limited by grants makes no other.");
  return { permissions, roles };
}

function nothingAsked(): Problem {
  const reason = "must have permissions, roles or both";
  return new Problem("invalid-request", `the body: ${reason}`, { invalid: [{ at: "", reason }] });
}
