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
          name: z.string(),
          ok: z.boolean(),
          degraded: z.literal(true).optional().meta({
            description: "Of `keys`: a key-encryption key does not answer. Data keys that are in memory serve on.",
          }),
        })
        .meta({ id: "ReadinessCheck" }),
    ),
  })
  .meta({ id: "Readiness" });
