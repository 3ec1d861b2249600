import { z } from "zod";
import type { Actor } from "../../core/caller.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { PageStart } from "../../http/page.js";
import { RuleTerms, type TrustRule } from "./contract.js";

/** A rule with its history, as the API shows it. */
export type StoredRule = TrustRule & { createdAt: Date; createdBy: string; updatedAt: Date };

/** The rules of a factory and the generation that it had, of one snapshot. */
export type RulesOfFactory = { generation: bigint; rules: readonly TrustRule[] };

const RuleRow = z.object({
  id: z.string(),
  name: z.string(),
  issuer: z.string(),
  version: z.int(),
  rule: z.unknown(),
});

/** @returns `undefined` when the factory is gone */
export async function rulesOfFactory(prisma: PrismaClient, factoryId: string): Promise<RulesOfFactory | undefined> {
  const rows = await prisma.$queryRawUnsafe<{ generation: bigint; rules: unknown }[]>(
    `/* rules-of-factory */ SELECT f.generation,
       (SELECT COALESCE(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'issuer', r.issuer,
                                                     'version', r.version, 'rule', r.rule) ORDER BY r.name), '[]')
        FROM trust_rules r WHERE r.factory_id = f.id) AS rules
     FROM factories f WHERE f.id = $1::uuid AND f.deleted_at IS NULL`,
    factoryId,
  );
  const row = rows[0];
  if (!row) return undefined;
  const rules = z.array(RuleRow).parse(row.rules);
  return { generation: row.generation, rules: rules.flatMap((stored) => ruleOf(stored) ?? []) };
}

/** The generation that the factory has now; `undefined` when it is gone. */
export async function generationOf(prisma: PrismaClient, factoryId: string): Promise<bigint | undefined> {
  const row = await prisma.factory.findUnique({
    select: { generation: true },
    where: { id: factoryId, deletedAt: null },
  });
  return row?.generation;
}

// A rule that this release cannot read (a later one wrote it) lets nobody in.
function ruleOf(row: z.output<typeof RuleRow>): TrustRule | undefined {
  const terms = RuleTerms.safeParse(row.rule);
  if (!terms.success) return undefined;
  const { id, name, issuer, version } = row;
  return { id, name, issuer, version, ...terms.data };
}

type StoredRow = z.output<typeof RuleRow> & { createdAt: Date; createdByName: string; updatedAt: Date };

function storedRuleOf(row: StoredRow): StoredRule | undefined {
  const rule = ruleOf(row);
  return rule && { ...rule, createdAt: row.createdAt, createdBy: row.createdByName, updatedAt: row.updatedAt };
}

/** Rules by name, one more than the page has; without its rule where this release cannot read it. */
export async function listRules(
  prisma: PrismaClient,
  input: { factoryId: string; page: PageStart },
): Promise<{ name: string; rule: StoredRule | undefined }[]> {
  const [after] = input.page.after ?? [];
  const rows = await prisma.trustRule.findMany({
    where: { factoryId: input.factoryId, ...(after !== undefined && { name: { gt: after } }) },
    orderBy: { name: "asc" },
    take: input.page.size + 1,
  });
  return rows.map((row) => ({ name: row.name, rule: storedRuleOf(row) }));
}

/** How many bytes the rules are that `listRules` gives for this page. */
export async function weighRules(
  prisma: PrismaClient,
  { factoryId, page }: { factoryId: string; page: PageStart },
): Promise<number[]> {
  const rows = await prisma.$queryRawUnsafe<{ bytes: number }[]>(
    `SELECT octet_length(rule::text) AS bytes FROM trust_rules
     WHERE factory_id = $1::uuid AND ($2::text IS NULL OR name > $2::text) ORDER BY name LIMIT $3`,
    factoryId,
    page.after?.[0] ?? null,
    page.size + 1,
  );
  return rows.map(({ bytes }) => bytes);
}

export async function findRule(prisma: PrismaClient, factoryId: string, id: string): Promise<StoredRule | undefined> {
  const row = await prisma.trustRule.findFirst({ where: { factoryId, id } });
  return row ? storedRuleOf(row) : undefined;
}

/** What a change of a rule must know of it; call `holdRules` first. Whoever cannot read a rule can still withdraw it. */
export async function ruleHead(transaction: Transaction, factoryId: string, id: string) {
  const row = await transaction.trustRule.findFirst({
    select: { id: true, name: true, version: true, createdAt: true, createdByName: true },
    where: { factoryId, id },
  });
  return row ?? undefined;
}

/**
 * Makes writers of a factory's rules take turns, and raises its generation. The maker's row is locked first, so that a
 * withdrawal waits for this, and this for a withdrawal: both take the factory last.
 * @returns the new generation, or what ended meanwhile
 */
export async function holdRules(
  transaction: Transaction,
  factoryId: string,
  makerId: string,
): Promise<bigint | "maker-withdrawn" | "factory-gone"> {
  const makers = await transaction.$queryRawUnsafe<unknown[]>(
    "SELECT id FROM credentials WHERE id = $1::uuid AND revoked_at IS NULL FOR SHARE",
    makerId,
  );
  if (makers.length === 0) return "maker-withdrawn";
  const [raised] = await transaction.$queryRawUnsafe<{ generation: bigint }[]>(
    "UPDATE factories SET generation = generation + 1 WHERE id = $1::uuid AND deleted_at IS NULL RETURNING generation",
    factoryId,
  );
  return raised?.generation ?? "factory-gone";
}

/** How many rules the factory has. Call `holdRules` first. */
export async function countRules(transaction: Transaction, factoryId: string): Promise<number> {
  return transaction.trustRule.count({ where: { factoryId } });
}

/** Which rule of the factory has this name. Call `holdRules` first. */
export async function idOfRuleNamed(
  transaction: Transaction,
  factoryId: string,
  name: string,
): Promise<string | undefined> {
  const row = await transaction.trustRule.findUnique({
    select: { id: true },
    where: { factoryId_name: { factoryId, name } },
  });
  return row?.id;
}

export async function insertRule(
  transaction: Transaction,
  input: { factoryId: string; rule: TrustRule; at: Date; actor: Actor },
): Promise<void> {
  const { id, name, issuer, version, ...terms } = input.rule;
  await transaction.trustRule.create({
    data: {
      id,
      factoryId: input.factoryId,
      name,
      issuer,
      rule: terms,
      version,
      createdAt: input.at,
      updatedAt: input.at,
      createdByKind: input.actor.kind,
      createdById: input.actor.id,
      createdByName: input.actor.name,
    },
  });
}

export async function updateRule(transaction: Transaction, rule: TrustRule, at: Date): Promise<void> {
  const { id, name, issuer, version, ...terms } = rule;
  await transaction.trustRule.update({ where: { id }, data: { name, issuer, rule: terms, version, updatedAt: at } });
}

export async function deleteRule(transaction: Transaction, id: string): Promise<void> {
  await transaction.trustRule.delete({ where: { id } });
}
