import { z } from "zod";
import { oneValue, oneValueRule, ValueBase64, ValueText } from "../contract.js";

export const SecretCandidate = z
  .strictObject({ value: ValueText.optional(), valueBase64: ValueBase64.optional() })
  .refine(oneValue, oneValueRule)
  .meta({ id: "SecretCandidate", description: "A value to compare with the stored one." });

export const SecretComparison = z
  .object({
    matches: z.boolean().meta({ description: "The candidate is, byte for byte, the value of that version." }),
    version: z.int().meta({ description: "The current version, which it was compared with." }),
  })
  .meta({ id: "SecretComparison" });
