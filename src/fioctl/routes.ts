import { z } from "zod";
import { type RequestedBy, requestedBy } from "../audit/record.js";
import type { Caller, FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import { Plaintext } from "../crypto/plaintext.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryInPath, FactoryParams, secretNamePattern } from "../http/contract.js";
import { json, route } from "../http/route.js";
import { validate } from "../http/validate.js";
import { batchLimits, maxBatch, maxValueBytes, secretNameRule } from "../secrets/contract.js";
import type { SecretItem } from "../secrets/plan-change.js";
import { listNames } from "../secrets/read-secrets.js";
import { refuseDuplicates } from "../secrets/refuse-names.js";
import { type SecretsDeps, writeSecrets } from "../secrets/write-secrets.js";

// Shapes of JobServ's triggers, as far as fioctl uses them (client/foundries.go of github.com/foundriesio/fioctl).

const Name = z.string().regex(secretNamePattern, `this name is not allowed; a secret's name is ${secretNameRule}`);

export const TriggerParams = z.object({
  factory: FactoryInPath,
  id: z.string().meta({ description: "The trigger's `id`, as the list shows it." }),
});

const Value = z.string().nullable().meta({ description: "1 to 65,536 bytes; `null` deletes." });

/** What is wrong with a value, in a sentence that names its secret: fioctl shows nothing else of the answer. */
function mistakeOf(name: string, value: string | null): string | undefined {
  // A name that is not one may be anything, a value too: it is not quoted.
  if (value === null || !secretNamePattern.test(name)) return undefined;
  if (value === "") return `the value of "${name}" is empty. To delete the secret: fioctl secrets update ${name}=`;
  if (!value.isWellFormed()) return `the value of "${name}" holds a lone surrogate, which is not Unicode text`;
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

/** fioctl prints this address when it has no client yet. Its own cloud has a form there; here it says how to make one. */
const credentialsPage = route(
  {
    id: "fioctlCredentialsPage",
    method: "get",
    path: "/settings/credentials",
    trailingSlash: "both",
    tag: "fioctl",
    summary: "Where `fioctl login` sends users without a client: how to make one",
    auth: "anyone",
    replies: { 200: { description: "Commands.", content: { "text/plain": z.string() } } },
    problems: [],
  },
  async ({ publicUrl }: { publicUrl: () => string }) => ({ status: 200, body: howToMakeAClient(publicUrl()) }),
);

const howToMakeAClient = (url: string): string => `fioctl asks for the ID and the secret of an OAuth client.

An administrator of your factory makes one, FACTORY and NAME being yours:

  curl -sS "${url}/v1/factories/FACTORY/oauth-clients" -H "OSF-TOKEN: $FACTORY_SECRETS_TOKEN" \\
    -H 'Content-Type: application/json' -d '{"name":"NAME","roles":["operator"]}'

The answer has both: "id" is the client ID, "clientSecret" the client secret, which is shown this once.

Then log in:

  fioctl login --oauth-url "${url}/oauth"
`;

/** A factory has one trigger as fioctl sees it: two are fatal to it, and its id must not be zero. */
const triggerId = 1;

const list = route(
  {
    id: "fioctlListTriggers",
    method: "get",
    path: "/projects/{factory}/lmp/triggers",
    trailingSlash: "both",
    tag: "fioctl",
    summary: "What `fioctl secrets list` reads",
    auth: { permission: "secrets:list" },
    params: FactoryParams,
    query: z.object({ type: z.string().optional().meta({ description: "Anything but `simple` finds nothing." }) }),
    replies: {
      200: {
        description: "No trigger, or the one that holds all names.",
        content: { "application/json": TriggerList },
      },
    },
    problems: [],
  },
  async ({ prisma }: { prisma: PrismaClient }, { factory, query }) => {
    const wanted = query.type === undefined || query.type === "simple";
    const names = wanted ? await listNames(prisma, factory.id) : [];
    const secrets = names.map((name) => ({ name }));
    const data = secrets.length > 0 ? [{ id: triggerId, type: "simple" as const, secrets }] : [];
    return { status: 200, body: { status: "success" as const, data } };
  },
);

const create = route(
  {
    id: "fioctlCreateTrigger",
    method: "post",
    path: "/projects/{factory}/lmp/triggers",
    trailingSlash: "both",
    tag: "fioctl",
    summary: "What `fioctl secrets update` sends to a factory without secrets",
    description: "Where secrets exist it merges into them. All names or none.",
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: FactoryParams,
    body: json(TriggerWrite, batchLimits),
    replies: { 201: { description: "Stored.", content: { "application/json": TriggerWritten } } },
    problems: ["limit-reached", "secret-in-use", "secret-malformed", "conflict"],
  },
  async (deps: SecretsDeps, { caller, factory, body, request }) => {
    const data = await update(deps, {
      caller,
      factory,
      body,
      requested: requestedBy(request),
    });
    return { status: 201, body: { status: "success" as const, data } };
  },
);

const patch = route(
  {
    id: "fioctlPatchTrigger",
    method: "patch",
    path: "/projects/{factory}/lmp/triggers/{id}",
    trailingSlash: "both",
    tag: "fioctl",
    summary: "What `fioctl secrets update` sends",
    description: "Only the named secrets change; `null` deletes. All names or none.",
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: TriggerParams,
    body: json(TriggerWrite, batchLimits),
    replies: { 200: { description: "Stored.", content: { "application/json": TriggerWritten } } },
    problems: ["not-found", "limit-reached", "secret-in-use", "secret-malformed", "conflict"],
  },
  async (deps: SecretsDeps, { caller, factory, params, body, request }) => {
    if (params.id !== String(triggerId))
      throw new Problem("not-found", "There is no such trigger. Run the command again.");
    const data = await update(deps, {
      caller,
      factory,
      body,
      requested: requestedBy(request),
    });
    return { status: 200, body: { status: "success" as const, data } };
  },
);

async function update(
  deps: SecretsDeps,
  input: {
    caller: Caller;
    factory: FactoryRef;
    body: z.output<typeof TriggerWrite>;
    requested: RequestedBy;
  },
): Promise<z.input<typeof TriggerWritten>["data"]> {
  const { caller, factory, requested } = input;
  const items = itemsOf(input.body);
  if (items.length === 0)
    throw new Problem("invalid-request", "The request names no secret. With fioctl: fioctl secrets update NAME=VALUE");
  const written = await writeSecrets(deps, { factory, caller, items, via: "fioctl", requested });
  const warnings = written.flatMap(({ name, warnings: all }) => all.map((warning) => ({ name, ...warning })));
  return warnings.length > 0 ? { warnings } : {};
}

function itemsOf(body: z.output<typeof TriggerWrite>): SecretItem[] {
  const secrets = body.secrets ?? plainMembers(body);
  refuseDuplicates(
    secrets.map(({ name }) => name),
    (index) => `/secrets/${index}/name`,
  );
  return secrets.map(({ name, value }) =>
    value === null
      ? { op: "delete" as const, name, forced: false }
      : { op: "put" as const, name, value: Plaintext.fromText(value) },
  );
}

function plainMembers(body: z.output<typeof TriggerWrite>): z.output<typeof PlainSecrets> {
  const {
    type: _type,
    id: _id,
    secrets: _secrets,
    owner: _owner,
    definition_repo: _repo,
    definition_file: _file,
    ...plain
  } = body;
  const members = Object.entries(plain);
  // A list's own limit is checked after each of its items.
  if (members.length > maxBatch) throw new Problem("invalid-request", "at most 100 names in one update");
  return validate(
    PlainSecrets,
    members.map(([name, value]) => ({ name, value })),
    "/secrets",
  );
}

export const fioctlRoutes = [list, create, patch, credentialsPage];
