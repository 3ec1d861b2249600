import { z } from "zod";
import { Timestamp } from "../http/contract.js";

/** The id of a key-encryption key. */
export const KeyId = z
  .string()
  .regex(/^kek-[0-9a-f]{16}$/, "kek- and 16 hex digits")
  .meta({ description: "Its `id`, as the list shows it.", example: "kek-4375120f5e63bc39" });

export const KeyParams = z.object({ id: KeyId.meta({ param: { id: "KeyIdInPath" } }) });

const WrappedCounts = z
  .object({ dataKeys: z.int(), signingKeys: z.int(), auditKeys: z.int() })
  .meta({ id: "WrappedCounts", description: "How many stored keys only this key opens." });

export const Key = z
  .object({
    id: KeyId,
    source: z
      .string()
      .meta({ description: "Where it is, as the settings write it.", example: "env:FACTORY_SECRETS_KEY" }),
    state: z.enum(["new", "known", "active", "retired"]).meta({
      id: "KeyState",
      description:
        "`new`: in the settings of the replica that answers, not added yet. `active`: it wraps what is new. `known`: it opens what it has wrapped. `retired`: nothing needs it any more.",
    }),
    createdAt: Timestamp.optional().meta({ description: "When it was added." }),
    wraps: WrappedCounts,
    held: z.boolean().meta({ description: "The replica that answers holds it." }),
    replicasWithout: z.int().meta({ description: "Running replicas that do not hold it." }),
    problem: z
      .string()
      .optional()
      .meta({ description: "Why it cannot be used just now, from the replica that answers." }),
  })
  .meta({ id: "Key", description: "A key-encryption key. Its bytes are never shown." });

export const KeyList = z.object({ items: z.array(Key) }).meta({ id: "KeyList" });

export const AddKey = z
  .strictObject({ key: z.string().min(1).max(500).meta({ description: "Id or source of a key in the settings." }) })
  .meta({ id: "AddKey" });

const PerSecond = z
  .int()
  .min(1)
  .max(10_000)
  .default(100)
  .meta({ description: "How many to move in a second, at most." });

export const StartTask = z.strictObject({ perSecond: PerSecond }).meta({ id: "StartKeyTask" });

export const KeyTask = z
  .object({
    id: z.string(),
    kind: z.enum(["rewrap", "reseal"]).meta({
      id: "KeyTaskKind",
      description:
        "`rewrap`: what `keyId` wraps is wrapped by the active key. `reseal`: the values of `factoryId` are sealed under its new data key.",
    }),
    state: z.enum(["running", "done", "failed"]).meta({
      id: "KeyTaskState",
      description: "`running`: it goes on by itself, also after a crash. `failed`: something does not open.",
    }),
    keyId: z.string().optional(),
    factoryId: z.string().optional(),
    perSecond: z.int(),
    done: z.int(),
    total: z.int().meta({ description: "As counted when it began; what comes meanwhile is moved too." }),
    problem: z.string().optional().meta({ description: "What keeps it from going on." }),
    createdAt: Timestamp,
    finishedAt: Timestamp.optional(),
  })
  .meta({ id: "KeyTask" });

export const KeyTaskList = z.object({ items: z.array(KeyTask) }).meta({ id: "KeyTaskList" });
