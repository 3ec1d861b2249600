import { z } from "zod";
import { FactoryInPath, secretNamePattern } from "../http/contract.js";
import { maxBatch, maxValueBytes, secretNameRule } from "../secrets/contract.js";

// Shapes of JobServ's triggers, as far as fioctl uses them (client/foundries.go of github.com/foundriesio/fioctl).

const Name = z.string().regex(secretNamePattern, `this name is not allowed; a secret's name is ${secretNameRule}`);

export const TriggerParams = z.object({
  factory: FactoryInPath,
  id: z.string().meta({ description: "The trigger's `id`, as the list shows it." }),
});

const Value = z.string().nullable().meta({ description: "1 to 65,536 bytes; `null` deletes." });

/** What is wrong with a value, in a sentence that names its secret: fioctl shows nothing else of the answer. */
function mistakeOf(name: string, value: string | null): string | undefined {
  // A name that is none may be anything, a value too: it is not quoted.
  if (value === null || !secretNamePattern.test(name)) return undefined;
  if (value === "") return `the value of "${name}" is empty. To delete the secret: fioctl secrets update ${name}=`;
  if (!value.isWellFormed()) return `the value of "${name}" holds a lone surrogate, which is no Unicode text`;
  const bytes = Buffer.byteLength(value);
  return bytes > maxValueBytes ? `the value of "${name}" has ${bytes} bytes; the most is ${maxValueBytes}` : undefined;
}

export const TriggerSecret = z
  .strictObject({ name: Name, value: Value })
  .superRefine(({ name, value }, context) => {
    const message = mistakeOf(name, value);
    if (message !== undefined) context.addIssue({ code: "custom", message, path: ["value"] });
  })
  .meta({ id: "TriggerSecret" });

/** JobServ also takes the secrets as plain members beside `type`; the handler reads those. */
export const TriggerWrite = z
  .looseObject({
    type: z.literal("simple").default("simple"),
    secrets: z.array(TriggerSecret).max(maxBatch, "at most 100 names in one update").optional(),
  })
  .meta({ id: "TriggerWrite" });

/** The plain members, as a list of secrets. */
export const PlainSecrets = z.array(TriggerSecret).max(maxBatch, "at most 100 names in one update");

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
