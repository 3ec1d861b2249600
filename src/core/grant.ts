import { z } from "zod";

/**
 * A repository's name as the distribution specification writes it. Nothing else gets through: a `*` would widen an
 * IAM resource, a `:` or a space a token scope.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
 */
export const RepositoryName = z
  .string()
  .max(255)
  .regex(
    /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/,
    "a repository name: lower-case letters and digits, with . _ - between them and / between parts; no tag, no host",
  )
  .meta({ id: "RepositoryName", example: "team/app" });

/** What a host or an entry's id can consist of. It is in a reply's header, so nothing that could forge a line. */
export const RegistryName = z
  .string()
  .max(300)
  .regex(/^[A-Za-z0-9._:@+[\]-]+$/, "the host or the id of a registry entry")
  .meta({ description: "Host or id of a registry entry.", example: "ghcr.io" });

/**
 * What one line of a job's rights reaches: one registry, and in it some repositories or all.
 * A list of grants is a union; its lines are never merged field by field.
 */
export const Grant = z
  .strictObject({
    registry: RegistryName,
    repositories: z
      .array(RepositoryName)
      .min(1)
      .max(100)
      .optional()
      .meta({ description: "Absent: every repository of the registry.", example: ["team/app"] }),
    actions: z
      .array(z.enum(["pull"]))
      .min(1)
      .max(1)
      .default(["pull"])
      .meta({ description: "Only `pull` exists." }),
  })
  .meta({ id: "Grant" });

/** A grant as replies and audit rows show it. */
export const GrantView = z
  .object({
    registry: z.string(),
    repositories: z.array(z.string()).optional().meta({ description: "Absent: every repository of the registry." }),
    actions: z.array(z.string()),
  })
  .meta({ id: "GrantView" });

export type Grant = z.output<typeof Grant>;
