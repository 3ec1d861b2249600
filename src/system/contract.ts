import { z } from "zod";

export const Health = z.object({ status: z.literal("ok") }).meta({ id: "Health" });

export const Readiness = z
  .object({
    status: z.enum(["ready", "not-ready"]).meta({ id: "ReadinessStatus" }),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean() }).meta({ id: "ReadinessCheck" })),
  })
  .meta({ id: "Readiness" });
