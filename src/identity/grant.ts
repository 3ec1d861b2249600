import { z } from "zod";

/**
 * What one line of a job's rights reaches: one registry, and in it some repositories or all.
 * A list of grants is a union; its lines are never merged field by field.
 */
export const Grant = z
  .strictObject({
    registry: z.string().min(1).max(300).meta({ description: "Host or id of a registry entry.", example: "ghcr.io" }),
    repositories: z
      .array(z.string().min(1).max(255))
      .min(1)
      .max(100)
      .optional()
      .meta({ description: "Absent: every repository of the registry.", example: ["team/app"] }),
    actions: z.array(z.enum(["pull"])).min(1).max(1).default(["pull"]).meta({ description: "Only `pull` exists." }),
  })
  .meta({ id: "Grant" });

export type Grant = z.output<typeof Grant>;
