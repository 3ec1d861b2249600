import { z } from "zod";
import { TemplateName, TrustConditionView } from "./contract.js";

const TemplateClaim = z
  .object({
    claim: z.string(),
    type: z.enum(["text", "number", "boolean"]).meta({ id: "ClaimType" }),
    use: z.enum(["identity", "narrowing", "name"]).meta({
      id: "ClaimUse",
      description:
        "`identity`: never given to anybody else. `narrowing`: says which of its runs. `name`: can change hands, and identifies nobody.",
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

export const TemplateList = z.object({ items: z.array(TemplateView) }).meta({ id: "TrustRuleTemplateList" });
