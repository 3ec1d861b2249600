import { z } from "zod";

const oneOrMany = z.union([z.string().transform((one) => [one]), z.array(z.string()).min(1)]);

const Statement = z.strictObject({
  Sid: z
    .string()
    .regex(/^[A-Za-z0-9]*$/)
    .optional(),
  Effect: z.enum(["Allow", "Deny"]),
  Action: oneOrMany,
  Resource: oneOrMany,
});

const PolicyDocument = z.strictObject({
  Version: z.literal("2012-10-17"),
  Id: z.string().optional(),
  Statement: z.union([Statement.transform((one) => [one]), z.array(Statement).min(1)]),
});

/**
 * The part of the IAM policy language that the stand-in enforces. A document that uses anything else (`Condition`,
 * `NotAction`) is refused rather than half understood.
 */
export type PolicyDocument = z.output<typeof PolicyDocument>;

/** `undefined` for what AWS calls a malformed policy document. */
export function parsePolicy(text: string): PolicyDocument | undefined {
  try {
    const document: unknown = JSON.parse(text);
    const parsed = PolicyDocument.safeParse(document);
    return parsed.success && parsed.data.Statement.every(hasPlausibleNames) ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

function hasPlausibleNames(statement: PolicyDocument["Statement"][number]): boolean {
  return (
    statement.Action.every((action) => action === "*" || /^[a-z0-9-]+:[A-Za-z*?]+$/.test(action)) &&
    statement.Resource.every((resource) => resource === "*" || /^arn:[^:]+:[^:]+:[^:]*:[^:]*:.+$/.test(resource))
  );
}

/** One statement that allows all of these actions on all of these resources. */
export function policyAllowing(actions: readonly string[], resources: readonly string[] = ["*"]): PolicyDocument {
  return {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: [...actions], Resource: [...resources] }],
  };
}

/** The same policy with a statement that takes actions away again. */
export function policyDenying(policy: PolicyDocument, actions: readonly string[]): PolicyDocument {
  return { ...policy, Statement: [...policy.Statement, { Effect: "Deny", Action: [...actions], Resource: ["*"] }] };
}

/**
 * Whether an action is allowed: no policy denies it, and every one of them allows it. A session's identity policy and
 * its session policy stand side by side, so that what remains is their intersection.
 * Source: AWS IAM User Guide, "Policy evaluation logic".
 */
export function isAllowed(policies: readonly PolicyDocument[], action: string, resource: string): boolean {
  return (
    policies.length > 0 &&
    policies.every((policy) => {
      const applying = policy.Statement.filter(
        (statement) =>
          statement.Action.some((pattern) => globMatches(pattern.toLowerCase(), action.toLowerCase())) &&
          statement.Resource.some((pattern) => globMatches(pattern, resource)),
      );
      return applying.length > 0 && applying.every((statement) => statement.Effect === "Allow");
    })
  );
}

function globMatches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s").test(text);
}
