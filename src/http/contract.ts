import { z } from "zod";

/**
 * Text that a person gives: control characters and other line ends would break logs, NUL has no place in Postgres, and
 * what turns the direction of writing makes a name look like another. Checked by a function, because generators of other
 * languages cannot read the pattern.
 */
export const hasNoControls = (text: string): boolean =>
  !/[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(text);
export const noControlsRule = "no control characters";

/** A point in time as RFC 3339 in UTC. */
export const Timestamp = z.iso
  .datetime()
  // ISO 8601 has a year 0, Postgres has none.
  .refine((text) => !text.startsWith("0000"), "there is no year 0")
  .meta({ description: "RFC 3339, UTC.", example: "2099-12-31T23:59:59.000Z" });

/** What a secret may be called: portable, because CI writes secrets as files of these names. Never `.` or `..`. */
export const secretNamePattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;

export const FactoryName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "1 to 63 lower-case letters, digits and dashes, not beginning with a dash")
  .meta({ description: "Name of a factory.", example: "acme" });

/** Not held to the rule of `FactoryName`: a name that no factory can have is answered like one that none has. */
export const FactoryInPath = z
  .string()
  .meta({ description: "Name of the factory.", example: "acme", param: { id: "FactoryInPath" } });

const Id = z.uuid().meta({ description: "Its `id`, as its list shows it.", param: { id: "IdInPath" } });

export const FactoryParams = z.object({ factory: FactoryInPath });

export const IdParams = z.object({ id: Id });

export const FactoryIdParams = z.object({ factory: FactoryInPath, id: Id });

/** What a list is filtered by. Postgres takes no NUL in a text. */
export const FilterText = (maxLength: number) => z.string().max(maxLength).refine(hasNoControls, noControlsRule);

/** A switch in a query: `true` or `false`. */
export const Flag = (description: string) =>
  z
    .stringbool()
    .default(false)
    .meta({ description, override: { type: "boolean", default: false } });

/** How every list is asked for. */
export const PageQuery = z.strictObject({
  pageSize: z.coerce
    .number()
    .int()
    .min(1)
    .max(200)
    .default(50)
    .meta({ description: "1 to 200. A page of large rows has fewer.", param: { id: "PageSizeInQuery" } }),
  pageToken: z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .meta({ description: "`nextPageToken` of the page before.", param: { id: "PageTokenInQuery" } }),
});

/** The number of a version of a secret or of the factory config, in a path. */
export const VersionInPath = z.coerce
  .number()
  .int()
  .min(1)
  .max(2_147_483_647)
  .meta({ description: "Number of a version.", param: { id: "VersionInPath" } });

export const NextPageToken = z
  .string()
  .meta({ id: "NextPageToken", description: "Ask for the next page with it. Absent on the last page." })
  .optional();

export const Warning = z
  .object({ code: z.string(), message: z.string() })
  .meta({ id: "Warning", description: "Something that was accepted and looks like a mistake." });

export const RegistryFailure = z
  .object({ registry: z.string(), code: z.string(), message: z.string() })
  .meta({ id: "RegistryFailure", description: "A registry that gave no token, and why." });

export const ProblemDocument = z
  .object({
    type: z.string().meta({ description: "URI reference that names the kind of problem." }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: "What happened and what to do next." }),
    code: z.string().meta({ description: "Stable name of the problem." }),
    message: z.string().meta({ description: "The same sentence as `detail`, where fioctl looks for it." }),
    requestId: z.string(),
    invalid: z
      .array(
        z
          .object({ at: z.string(), reason: z.string() })
          .meta({ id: "InvalidInput", description: "Never quotes a value." }),
      )
      .optional(),
    failures: z.array(RegistryFailure).optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457 problem details." });
