import { z } from "zod";
import {
  FactoryInPath,
  hasNoControls,
  NextPageToken,
  noControlsRule,
  secretNamePattern,
  Timestamp,
  Warning,
} from "../http/contract.js";

/** The largest value, in bytes. */
export const maxValueBytes = 64 * 1024;
/** The most names that one write may carry. */
export const maxBatch = 100;
/**
 * What a write of several names can take: fifteen of the largest values, or a hundred of 10 KiB, and twice the fields
 * that a name has. All of them go in one statement, and while that is written nobody else has a turn.
 */
export const batchLimits = { maxBytes: 1024 * 1024, maxValues: 2_000 } as const;

export const secretNameRule = "1 to 255 letters, digits, _ . and -, beginning with a letter, a digit or _";

export const SecretName = z
  .string()
  .regex(secretNamePattern, secretNameRule)
  .meta({ description: `Name of a secret: ${secretNameRule}.`, example: "aws_creds" });

export const SecretParams = z.object({
  factory: FactoryInPath,
  name: SecretName.meta({ param: { id: "SecretNameInPath" } }),
});

export const ValueText = z
  .string()
  .refine((text) => text.isWellFormed(), "holds a lone surrogate, which is not Unicode text; send bytes as valueBase64")
  .refine((text) => text.length > 0, "is empty; a value has 1 to 65,536 bytes")
  .refine((text) => Buffer.byteLength(text) <= maxValueBytes, "is larger than 65,536 bytes")
  .meta({ description: "The value as text; it is stored as its UTF-8 bytes, exactly." });

export const ValueBase64 = z
  .string()
  .refine((text) => Buffer.from(text, "base64").toString("base64") === text, "is not base64 with its padding")
  .refine((text) => text.length > 0, "is empty; a value has 1 to 65,536 bytes")
  .refine((text) => Buffer.byteLength(text, "base64") <= maxValueBytes, "is larger than 65,536 bytes")
  .meta({ description: "The value's bytes in base64, for what is not text." });

const Description = z
  .string()
  .max(1000)
  .refine(hasNoControls, noControlsRule)
  .meta({ description: "What it is for. Not secret." });

const valueFields = {
  value: ValueText.optional(),
  valueBase64: ValueBase64.optional(),
  description: Description.optional(),
  expiresAt: Timestamp.optional().meta({ description: "When the credential behind it ends; kept as a note." }),
  deliverToJobs: z.boolean().optional().meta({
    description:
      "The value of this version may leave in a job's /secrets while it is current. `true` takes the permission secrets:deliver. Absent: as the current version says, and `false` for a first version. Never for a secret that an entry names.",
  }),
};

export const oneValue = (fields: { value?: string | undefined; valueBase64?: string | undefined }): boolean =>
  (fields.value === undefined) !== (fields.valueBase64 === undefined);
export const oneValueRule = "give exactly one of value and valueBase64";

export const SecretWrite = z.strictObject(valueFields).refine(oneValue, oneValueRule).meta({ id: "SecretWrite" });

export const NamedSecretWrite = z
  .strictObject({ name: SecretName, ...valueFields })
  .refine(oneValue, oneValueRule)
  .meta({ id: "NamedSecretWrite" });

export const SecretBatch = z
  .strictObject({ secrets: z.array(NamedSecretWrite).min(1).max(maxBatch, "at most 100 names in one batch") })
  .meta({ id: "SecretBatch" });

export const WrittenSecret = z
  .object({ name: z.string(), version: z.int(), warnings: z.array(Warning) })
  .meta({ id: "WrittenSecret" });

export const WrittenBatch = z.object({ secrets: z.array(WrittenSecret) }).meta({ id: "WrittenBatch" });

export const Secret = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "The current version." }),
    description: z.string().optional(),
    expiresAt: Timestamp.optional(),
    deliverToJobs: z.boolean().meta({ description: "Of the current version." }),
    usedByRegistries: z.boolean().meta({ description: "An entry of the current config names it." }),
    createdAt: Timestamp,
    updatedAt: Timestamp,
  })
  .meta({ id: "Secret", description: "What is known of a secret. Its value is never shown." });

export const SecretList = z.object({ items: z.array(Secret), nextPageToken: NextPageToken }).meta({ id: "SecretList" });
