import { z } from "zod";
import { requestedBy } from "../../audit/requested-by.js";
import { json, route } from "../../http/route.js";
import { maxValueBytes, oneValue, oneValueRule, SecretParams, ValueBase64, ValueText } from "../contract.js";
import { plaintextOf } from "../routes.js";
import { type VerifyDeps, verifyValue } from "./verify-value.js";

const SecretCandidate = z
  .strictObject({ value: ValueText.optional(), valueBase64: ValueBase64.optional() })
  .refine(oneValue, oneValueRule)
  .meta({ id: "SecretCandidate", description: "A value to compare with the stored one." });

const SecretComparison = z
  .object({
    matches: z.boolean().meta({ description: "The candidate is, byte for byte, the value of that version." }),
    version: z.int().meta({ description: "The current version, which it was compared with." }),
  })
  .meta({ id: "SecretComparison" });

const verify = route(
  {
    id: "verifySecret",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}:verify",
    tag: "Secrets",
    summary: "Does a value equal the stored one?",
    description: "Neither is shown. Every question is audited, and a secret can be asked about ten times a minute.",
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: SecretParams,
    body: json(SecretCandidate, { maxBytes: 8 * maxValueBytes }),
    replies: { 200: { description: "Whether it does.", content: { "application/json": SecretComparison } } },
    problems: ["not-found", "version-unsuitable", "too-many-requests"],
  },
  async (deps: VerifyDeps, { caller, factory, params, body, request }) => {
    const candidate = plaintextOf(body);
    try {
      const requested = requestedBy(request);
      const input = { factory, caller, name: params.name, candidate, requested };
      return { status: 200, body: await verifyValue(deps, input) };
    } finally {
      candidate.erase();
    }
  },
);

export const verifyRoutes = [verify];
