import { z } from "zod";

const Id = z.string().regex(/^[_a-zA-Z][a-zA-Z0-9_-]*$/);

/**
 * A JavaScript action's `action.yml`. Source: SchemaStore/schemastore, src/schemas/json/github-action.json (what may
 * stand there), and GitHub documentation, "Metadata syntax reference" (node24). A default is held to being text here: the
 * runner hands it on as text.
 */
export const Action = z.strictObject({
  name: z.string(),
  author: z.string().optional(),
  description: z.string(),
  inputs: z.record(
    Id,
    z.strictObject({
      description: z.string(),
      required: z.boolean().optional(),
      default: z.string().optional(),
      deprecationMessage: z.string().optional(),
    }),
  ),
  outputs: z.record(Id, z.strictObject({ description: z.string() })),
  runs: z.strictObject({
    using: z.enum(["node20", "node24"]),
    main: z.string(),
    pre: z.string().optional(),
    "pre-if": z.string().optional(),
    post: z.string(),
    "post-if": z.string().optional(),
  }),
  branding: z.strictObject({ icon: z.string().optional(), color: z.string().optional() }).optional(),
});
