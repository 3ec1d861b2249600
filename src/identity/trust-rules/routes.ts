import { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryIdParams, FactoryParams, PageQuery } from "../../http/contract.js";
import { lightPage, pageOf } from "../../http/page.js";
import { etag, etagOf, preconditionOf } from "../../http/preconditions.js";
import { json, route } from "../../http/route.js";
import { isObject } from "./conditions.js";
import { TemplateName, TrustConditionView, TrustRuleList, TrustRuleRequest, TrustRuleView } from "./contract.js";
import { type ExplainDeps, ExplainRequest, Explanation, explain } from "./explain.js";
import { lintRule } from "./lint-rule.js";
import { createRule, type RuleDeps, removeRule, replaceRule } from "./rule-changes.js";
import { findRule, listRules, type StoredRule, weighRules } from "./store.js";
import { templates } from "./templates/templates.js";

const TemplateClaim = z
  .object({
    claim: z.string(),
    type: z.enum(["text", "number", "boolean"]).meta({ id: "ClaimType" }),
    use: z.enum(["identity", "narrowing", "name"]).meta({
      id: "ClaimUse",
      description:
        "`identity`: never given to anybody else. `narrowing`: says which of its runs. `name`: can change hands, and identifies no one.",
    }),
    about: z.string(),
  })
  .meta({ id: "TrustRuleTemplateClaim" });

const TemplateExample = z
  .object({
    template: TemplateName,
    issuer: z.string(),
    conditions: z.array(TrustConditionView),
  })
  .meta({ id: "TrustRuleTemplateExample", description: "To be completed with name, audience and grants." });

const TemplateView = z
  .object({
    name: TemplateName,
    title: z.string(),
    issuer: z.string().meta({ description: "The exact `iss`, or how it is made up." }),
    audience: z.string().meta({ description: "How a job asks for a token for this installation." }),
    mustBind: z.string().meta({ description: "What every rule for it must bind, and why." }),
    claims: z.array(TemplateClaim),
    example: TemplateExample,
  })
  .meta({ id: "TrustRuleTemplate" });

const TemplateList = z.object({ items: z.array(TemplateView) }).meta({ id: "TrustRuleTemplateList" });

type Reader = { prisma: PrismaClient };

// Room for a key set; a hundred rules of a factory are in memory.
const limits = { maxBytes: 64 * 1024 };

const listTrustRules = route(
  {
    id: "listTrustRules",
    method: "get",
    path: "/v1/factories/{factory}/trust-rules",
    tag: "Access",
    summary: "List the trust rules of a factory",
    description: "Each with what the linter says of it today.",
    auth: { permission: "access:read" },
    isCostly: true,
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "By name.", content: { "application/json": TrustRuleList } } },
    problems: [],
  },
  async ({ prisma }: Reader, { factory, page: asked }) => {
    const page = lightPage(asked, await weighRules(prisma, { factoryId: factory.id, page: asked }));
    const rows = await listRules(prisma, { factoryId: factory.id, page });
    const { items, ...next } = await pageOf(
      page,
      rows,
      ({ name }) => [name],
      ({ rule }) => rule,
    );
    return { status: 200, body: { items: items.flatMap((rule) => (rule ? [ruleView(rule)] : [])), ...next } };
  },
);

const addTrustRule = route(
  {
    id: "createTrustRule",
    method: "post",
    path: "/v1/factories/{factory}/trust-rules",
    tag: "Access",
    summary: "Make a trust rule",
    description:
      "An ID token of this issuer, for this audience, whose claims meet all conditions may pull what the grants say. A rule that would let strangers in is refused, with what to add.",
    auth: { permission: "access:write" },
    isCostly: true,
    params: FactoryParams,
    body: json(TrustRuleRequest, limits),
    replies: { 201: { description: "Made.", content: { "application/json": TrustRuleView }, headers: etag } },
    problems: ["unsafe-rule", "already-exists", "limit-reached"],
  },
  async (deps: RuleDeps, { caller, factory, body, request }) => {
    const rule = await createRule(deps, { factory, caller, requested: requestedBy(request) }, body);
    return { status: 201, body: ruleView(rule), headers: etagOf(rule.version) };
  },
);

const getTrustRule = route(
  {
    id: "getTrustRule",
    method: "get",
    path: "/v1/factories/{factory}/trust-rules/{id}",
    tag: "Access",
    summary: "One trust rule",
    auth: { permission: "access:read" },
    params: FactoryIdParams,
    replies: { 200: { description: "The rule.", content: { "application/json": TrustRuleView }, headers: etag } },
    problems: ["not-found"],
  },
  async ({ prisma }: Reader, { factory, params }) => {
    const rule = await findRule(prisma, factory.id, params.id);
    if (!rule) throw new Problem("not-found", "There is no such trust rule. List them to see which exist.");
    return { status: 200, body: ruleView(rule), headers: etagOf(rule.version) };
  },
);

const putTrustRule = route(
  {
    id: "replaceTrustRule",
    method: "put",
    path: "/v1/factories/{factory}/trust-rules/{id}",
    tag: "Access",
    summary: "Change a trust rule",
    description: "The whole rule, as it shall be. Who was let in by the old one is judged by the new one at once.",
    auth: { permission: "access:write" },
    isCostly: true,
    params: FactoryIdParams,
    body: json(TrustRuleRequest, limits),
    replies: { 200: { description: "Changed.", content: { "application/json": TrustRuleView }, headers: etag } },
    problems: ["unsafe-rule", "already-exists", "not-found", "precondition-failed"],
  },
  async (deps: RuleDeps, { caller, factory, params, body, request }) => {
    const target = { id: params.id, precondition: preconditionOf(request) };
    const rule = await replaceRule(deps, { factory, caller, requested: requestedBy(request) }, target, body);
    return { status: 200, body: ruleView(rule), headers: etagOf(rule.version) };
  },
);

const deleteTrustRule = route(
  {
    id: "deleteTrustRule",
    method: "delete",
    path: "/v1/factories/{factory}/trust-rules/{id}",
    tag: "Access",
    summary: "Withdraw a trust rule",
    description: "Who was let in by it alone is refused at once, with an exchanged token too.",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 204: { description: "Withdrawn." } },
    problems: ["not-found", "precondition-failed"],
  },
  async (deps: RuleDeps, { caller, factory, params, request }) => {
    const target = { id: params.id, precondition: preconditionOf(request) };
    await removeRule(deps, { factory, caller, requested: requestedBy(request) }, target);
    return { status: 204 };
  },
);

const explainTrustRules = route(
  {
    id: "explainTrustRules",
    method: "post",
    path: "/v1/factories/{factory}/trust-rules:explain",
    tag: "Access",
    summary: "Why a token is let in or refused",
    description:
      "Takes an ID token, or claims that one could have, and says of each rule, condition by condition, what holds. With claims alone, signature and times are not judged. No token is used up.",
    auth: { permission: "access:read" },
    isCostly: true,
    params: FactoryParams,
    body: json(ExplainRequest, { maxBytes: 64 * 1024 }),
    replies: { 200: { description: "Every rule.", content: { "application/json": Explanation } } },
    problems: [],
  },
  async (deps: ExplainDeps, { factory, body }) => {
    const { idToken, claims } = body;
    const asked = idToken === undefined ? { claims: isObject(claims) ? claims : {} } : { idToken };
    return { status: 200, body: await explain(deps, factory, asked) };
  },
);

const listTemplates = route(
  {
    id: "listTrustRuleTemplates",
    method: "get",
    path: "/v1/trust-rule-templates",
    tag: "Access",
    summary: "What is known of issuers",
    description: "For each kind: what its tokens say, what a rule must bind, and one to begin with.",
    auth: "any-caller",
    replies: { 200: { description: "All of them.", content: { "application/json": TemplateList } } },
    problems: [],
  },
  async (_deps: object) => ({
    status: 200,
    body: {
      items: Object.values(templates).map(({ name, title, issuer, audience, advice, claims, example }) => ({
        name,
        title,
        issuer,
        audience,
        mustBind: advice,
        claims: [...claims],
        example: { template: name, issuer: example.issuer, conditions: [...example.conditions] },
      })),
    },
  }),
);

export const trustRuleRoutes = [
  listTrustRules,
  addTrustRule,
  getTrustRule,
  putTrustRule,
  deleteTrustRule,
  explainTrustRules,
  listTemplates,
];

/** A rule as replies show it, graded by the linter of today. */
function ruleView(rule: StoredRule): z.input<typeof TrustRuleView> {
  const { maxTtlSeconds, deliverSecrets, jwksUrl, jwks } = rule;
  return {
    id: rule.id,
    name: rule.name,
    template: rule.template,
    issuer: rule.issuer,
    audience: rule.audience,
    ...(jwksUrl !== undefined && { jwksUrl }),
    ...(jwks !== undefined && { jwks }),
    algorithms: rule.algorithms,
    conditions: rule.conditions,
    grants: rule.grants,
    ...(maxTtlSeconds !== undefined && { maxTtlSeconds }),
    ...(deliverSecrets && { deliverSecrets }),
    singleUse: rule.singleUse,
    version: rule.version,
    createdAt: rule.createdAt.toISOString(),
    createdBy: rule.createdBy,
    updatedAt: rule.updatedAt.toISOString(),
    findings: lintRule(rule),
  };
}
