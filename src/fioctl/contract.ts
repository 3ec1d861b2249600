import { z } from "zod";
import { maxBatch, maxValueBytes, secretNamePattern, secretNameRule } from "../secrets/contract.js";

// Shapes of JobServ's triggers, as far as fioctl uses them (client/foundries.go of github.com/foundriesio/fioctl).

const Value = z
  .string()
  .refine((text) => text.isWellFormed(), "the value holds a lone surrogate, which is no Unicode text")
  .refine((text) => text.length > 0, "the value is empty; send null to delete")
  .refine((text) => Buffer.byteLength(text) <= maxValueBytes, "the value is larger than 65,536 bytes")
  .nullable()
  .meta({ description: "`null` deletes." });

export const TriggerSecret = z
  .strictObject({ name: z.string().regex(secretNamePattern, `a secret's name is ${secretNameRule}`), value: Value })
  .meta({ id: "TriggerSecret" });

/** JobServ also takes the secrets as plain members beside `type`; the handler reads those. */
export const TriggerWrite = z
  .looseObject({
    type: z.literal("simple").default("simple"),
    secrets: z.array(TriggerSecret).max(maxBatch, "at most 100 names in one update").optional(),
  })
  .meta({ id: "TriggerWrite" });

export const PlainSecrets = z.record(
  z.string().regex(secretNamePattern, `a secret's name is ${secretNameRule}`),
  Value,
);

export const Trigger = z
  .object({
    id: z.int(),
    type: z.literal("simple"),
    secrets: z.array(z.object({ name: z.string() }).meta({ id: "TriggerSecretName" })),
  })
  .meta({ id: "Trigger" });

export const TriggerList = z
  .object({ status: z.literal("success"), data: z.array(Trigger) })
  .meta({ id: "TriggerList", description: "JSend, as JobServ answers." });

export const TriggerWritten = z
  .object({
    status: z.literal("success"),
    data: z
      .object({
        warnings: z
          .array(z.object({ name: z.string(), code: z.string(), message: z.string() }).meta({ id: "TriggerWarning" }))
          .optional(),
      })
      .meta({ id: "TriggerWrittenData" }),
  })
  .meta({ id: "TriggerWritten" });
