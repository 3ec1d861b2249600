import { z } from "zod";

export const Health = z.object({ status: z.literal("ok") }).meta({ id: "Health" });

export const Readiness = z
  .object({
    status: z.enum(["ready", "degraded", "not-ready"]).meta({
      id: "ReadinessStatus",
      description: "`degraded`: send requests here; some of them may fail, and would elsewhere too.",
    }),
    checks: z.array(
      z
        .object({
          name: z.string().meta({
            description:
              "What was looked at: `database`, `read-only`, `draining`, `keys`, `clock`, `migrations`. More may come.",
            example: "read-only",
          }),
          ok: z.boolean(),
          degraded: z.literal(true).optional().meta({
            description: "Of `keys`: a key-encryption key does not answer. Data keys that are in memory serve on.",
          }),
          reason: z.string().optional().meta({ description: "What is wrong, where `ok` is false." }),
        })
        .meta({ id: "ReadinessCheck" }),
    ),
  })
  .meta({ id: "Readiness" });
