import { randomUUID } from "node:crypto";
import type { EventBody } from "../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Grant } from "../../core/grant.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { checkVersion, type Precondition } from "../../http/preconditions.js";
import { invalidCredential } from "../invalid-credential.js";
import { maxRules, type TrustRuleRequest } from "./contract.js";
import { checkPastedKeys } from "./factory-rules.js";
import { lintRule, refuseUnsafe } from "./lint-rule.js";
import {
  countRules,
  deleteRule,
  holdRules,
  idOfRuleNamed,
  insertRule,
  ruleHead,
  type StoredRule,
  updateRule,
} from "./store.js";

export type RuleDeps = { prisma: PrismaClient; audit: AuditWriter; generations: Generations };

export type RuleChange = { factory: FactoryRef; caller: Caller; requested: RequestedBy };

/**
 * Makes a rule.
 * @throws Problem `forbidden` (it grants more than its maker has), `unsafe-rule`, `already-exists`, `limit-reached`
 */
export async function createRule(deps: RuleDeps, change: RuleChange, input: TrustRuleRequest): Promise<StoredRule> {
  check(change.caller, input);
  const rule = { ...input, id: randomUUID(), version: 1 };
  return inTurn(deps, change, "trust-rule.created", async (transaction, at) => {
    const { factory, caller } = change;
    if ((await countRules(transaction, factory.id)) >= maxRules) {
      throw new Problem(
        "limit-reached",
        `A factory has at most ${maxRules} trust rules. Delete one that is not needed.`,
      );
    }
    await refuseTakenName(transaction, factory, rule);
    await insertRule(transaction, { factoryId: factory.id, rule, at, actor: actorOf(caller) });
    return { ...rule, createdAt: at, createdBy: caller.name, updatedAt: at };
  });
}

/**
 * Puts another rule in the place of one; its id stays.
 * @throws Problem as `createRule`, and `not-found`, `precondition-failed`
 */
export async function replaceRule(
  deps: RuleDeps,
  change: RuleChange,
  target: { id: string; precondition: Precondition },
  input: TrustRuleRequest,
): Promise<StoredRule> {
  check(change.caller, input);
  return inTurn(deps, change, "trust-rule.updated", async (transaction, at) => {
    const known = await ruleToChange(transaction, change.factory, target);
    const rule = { ...input, id: known.id, version: known.version + 1 };
    await refuseTakenName(transaction, change.factory, rule);
    await updateRule(transaction, rule, at);
    return { ...rule, createdAt: known.createdAt, createdBy: known.createdByName, updatedAt: at };
  });
}

/**
 * Withdraws a rule, and with it at once what it let in.
 * @throws Problem `not-found`, `precondition-failed`
 */
export async function removeRule(
  deps: RuleDeps,
  change: RuleChange,
  target: { id: string; precondition: Precondition },
): Promise<void> {
  await inTurn(deps, change, "trust-rule.deleted", async (transaction) => {
    const known = await ruleToChange(transaction, change.factory, target);
    await deleteRule(transaction, known.id);
    return known;
  });
}

function check(caller: Caller, input: TrustRuleRequest): void {
  checkMaker(caller, input);
  if (input.jwks !== undefined) checkPastedKeys(input.jwks, input.algorithms);
  refuseUnsafe(lintRule(input));
}

type RuleAction = Extract<EventBody, { rule: unknown }>["action"];

/** Writes one change of the factory's rules with its event, while no other is written. */
async function inTurn<T extends { id: string; name: string; version: number }>(
  { prisma, audit, generations }: RuleDeps,
  { factory, caller, requested }: RuleChange,
  action: RuleAction,
  write: (transaction: Transaction, at: Date) => Promise<T>,
): Promise<T> {
  const at = databaseNow();
  const { written, generation } = await prisma.$transaction(async (transaction) => {
    const held = await holdRules(transaction, factory.id, caller.id);
    if (held === "maker-withdrawn") throw invalidCredential();
    if (held === "factory-gone") {
      throw new Problem("not-found", "There is no such factory, or this credential is not of it.");
    }
    const rule = await write(transaction, at);
    const body: EventBody = { action, rule: { id: rule.id, name: rule.name }, version: rule.version };
    const event = { at, outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const;
    await audit.writeWith(transaction, [{ ...event, body }]);
    return { written: rule, generation: held };
  });
  generations.observe(factory.id, generation);
  return written;
}

async function ruleToChange(
  transaction: Transaction,
  factory: FactoryRef,
  { id, precondition }: { id: string; precondition: Precondition },
): Promise<NonNullable<Awaited<ReturnType<typeof ruleHead>>>> {
  const known = await ruleHead(transaction, factory.id, id);
  if (!known) throw new Problem("not-found", "There is no such trust rule. List them to see which exist.");
  checkVersion(known.version, precondition);
  return known;
}

async function refuseTakenName(
  transaction: Transaction,
  factory: FactoryRef,
  { id, name }: { id: string; name: string },
): Promise<void> {
  const holder = await idOfRuleNamed(transaction, factory.id, name);
  if (holder !== undefined && holder !== id) {
    throw new Problem(
      "already-exists",
      "Another trust rule of this factory has this name. Choose another, or change that one.",
    );
  }
}

/** What a rule hands on. */
export type HandedOn = {
  grants: readonly Grant[];
  maxTtlSeconds?: number | undefined;
  deliverSecrets?: true | undefined;
};

/**
 * A rule never grants more than its maker has.
 * @throws Problem `forbidden`
 */
export function checkMaker(maker: Pick<Caller, "permissions" | "grants" | "maxTtlSeconds">, rule: HandedOn): void {
  if (!maker.permissions.has("registry-tokens:issue")) {
    throw beyond("this credential lacks registry-tokens:issue, which every rule hands on.");
  }
  if (rule.deliverSecrets && !maker.permissions.has("jobs:create")) {
    throw beyond("this credential lacks jobs:create, and without that it has no way to delivered secrets.");
  }
  const { grants: own } = maker;
  const wider = own && rule.grants.find((grant) => !isWithin(grant, own));
  if (wider) throw beyond(`the line for ${wider.registry} is wider than the grants of this credential.`);
  if (maker.maxTtlSeconds !== undefined && (rule.maxTtlSeconds ?? Number.POSITIVE_INFINITY) > maker.maxTtlSeconds) {
    throw beyond(`give it a maxTtlSeconds of ${maker.maxTtlSeconds} at most.`);
  }
}

const beyond = (what: string): Problem =>
  new Problem("forbidden", `A rule never grants more than its maker has: ${what}`);

/**
 * Whether one line of the maker's own reaches all that this one does. A registry counts as the same only when it is
 * written the same: what a name stands for is decided by a config that may change.
 */
export function isWithin(grant: Grant, own: readonly Grant[]): boolean {
  return own.some(
    (line) =>
      line.registry === grant.registry &&
      grant.actions.every((action) => line.actions.includes(action)) &&
      reaches(line.repositories, grant.repositories),
  );
}

/** Absent stands for every repository. */
function reaches(own: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean {
  if (own === undefined || wanted === undefined) return own === undefined;
  return wanted.every((repository) => own.includes(repository));
}
