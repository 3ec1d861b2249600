import { startEach } from "../../core/pauses.js";
import { Problem, type ProblemCode } from "../../core/problem.js";
import { grantsSpeakOf, selectRegistry } from "../issue/decide-demands.js";
import type { KnownEntry } from "../issue/factory-facts.js";
import { type BrokerDeps, type IssueInput, issueTokens } from "../issue/issue-token.js";
import type { Products } from "../issue/products.js";
import type { MintedToken } from "../providers/provider.js";
import { type Found, findManifest, type RegistryAccess } from "./find-manifest.js";
import { type ImageReference, parseImageReference } from "./image-reference.js";
import type { CheckedReference } from "./routes.js";

export type CheckDeps = BrokerDeps & Pick<Products, "registryTokens"> & { registryAccess: RegistryAccess };

export type CheckInput = Pick<IssueInput, "factory" | "caller" | "requested"> & {
  references: readonly string[];
  platforms: readonly string[];
};

type Parsed = { reference: string; image: ImageReference };
type Verdict = Omit<CheckedReference, "reference">;

/** Calls to registries at a time: a request must not take all of the connections that others need. */
const maxAtOnce = 8;

/**
 * Finds out of each reference whether the caller can pull it, by the same grants and with the same tokens as
 * `registry-tokens`, and asks the registry whether it is there. The tokens do not leave the service; the audit has them
 * as any other.
 * @returns an answer for each reference, in their order
 */
export async function checkReferences(deps: CheckDeps, input: CheckInput): Promise<CheckedReference[]> {
  const verdicts = new Map<string, Verdict>();
  const parsed: Parsed[] = [];
  for (const reference of new Set(input.references)) {
    const image = parseImageReference(reference);
    if (typeof image === "string") verdicts.set(reference, { outcome: "invalid", message: image });
    else parsed.push({ reference, image });
  }
  const hosts = [...new Set(parsed.map(({ image }) => image.host))];
  const ofHost = (host: string) => parsed.filter(({ image }) => image.host === host);
  await startEach(hosts, (host) => [checkHost(deps, input, host, ofHost(host), verdicts)]);
  return input.references.map((reference) => ({ reference, ...(verdicts.get(reference) ?? unanswered) }));
}

const unanswered: Verdict = { outcome: "unknown", message: "It was not looked at. Ask again." };

async function checkHost(
  deps: CheckDeps,
  input: CheckInput,
  host: string,
  references: readonly Parsed[],
  verdicts: Map<string, Verdict>,
): Promise<void> {
  const repositories = [...new Set(references.map(({ image }) => image.repository))];
  const tokens = await tokensFor(deps, input, host, repositories);
  const { entries } = await deps.facts.of(input.factory);
  const { grants } = input.caller;
  // A caller with grants learns of no registry beyond them: whether there is an entry, he is not told.
  const mayKnow = grants === undefined || grantsSpeakOf(entries, grants, host);
  const entry = mayKnow ? entryFor(entries, host) : undefined;
  await someAtOnce(references, async ({ reference, image }) => {
    const token = tokens.get(image.repository);
    const verdict = token ? await verdictOf(deps, { ...input, mayKnow }, image, token) : unanswered;
    const { host: registry, repository } = image;
    verdicts.set(reference, { ...verdict, registry, repository, ...(entry !== undefined && { entry }) });
  });
}

async function someAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const worker = async (): Promise<void> => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: maxAtOnce }, worker));
}

/** One token for all of them where that can be; else one each, so that one that is refused does not refuse the others. */
async function tokensFor(
  deps: CheckDeps,
  input: CheckInput,
  host: string,
  repositories: readonly string[],
): Promise<Map<string, MintedToken | Problem>> {
  const all = await tokenFor(deps, input, host, repositories);
  if (!(all instanceof Problem) || repositories.length === 1) return new Map(repositories.map((name) => [name, all]));
  if (!dependsOnRepositories.includes(all.code)) return new Map(repositories.map((name) => [name, all]));
  const each = new Map<string, MintedToken | Problem>();
  await someAtOnce(repositories, async (name) => {
    each.set(name, await tokenFor(deps, input, host, [name]));
  });
  return each;
}

const dependsOnRepositories: readonly ProblemCode[] = [
  "outside-grants",
  "scope-not-enforceable",
  "upstream-refused",
  "upstream-invalid",
];

async function tokenFor(
  deps: CheckDeps,
  input: CheckInput,
  registry: string,
  repositories: readonly string[],
): Promise<MintedToken | Problem> {
  const { factory, caller, requested } = input;
  try {
    // One request can need many tokens: each counts as one that was asked for.
    deps.tokenRequests.count(caller);
    const { tokens } = await issueTokens(deps, deps.registryTokens, {
      factory,
      caller,
      requested,
      asked: [{ registry, repositories }],
      // Where the cloud cannot hold to repositories, a token that reaches more answers the question as well.
      allowBroader: true,
      allowPartial: false,
      minTtlSeconds: undefined,
    });
    return tokens[0]?.token ?? new Problem("tokens-unavailable", "The registry gave no token.");
  } catch (error) {
    // A caller who was withdrawn in the meantime is told so, not what became of each reference.
    if (!(error instanceof Problem) || error.code === "unauthenticated" || error.code === "not-found") throw error;
    return error;
  }
}

/** The entry that covers the host. */
function entryFor(entries: readonly KnownEntry[], host: string): string | undefined {
  try {
    return selectRegistry(entries, host)[0]?.entry.id;
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

async function verdictOf(
  deps: CheckDeps,
  { mayKnow, platforms }: CheckInput & { mayKnow: boolean },
  image: ImageReference,
  token: MintedToken | Problem,
): Promise<Verdict> {
  if (token instanceof Problem) return verdictOfProblem(token, mayKnow, image);
  try {
    return verdictOfFound(await findManifest(deps.registryAccess, image, token), image, platforms);
  } catch (error) {
    if (error instanceof Problem) return { outcome: "unknown", code: error.code, message: error.detail };
    throw error;
  }
}

function verdictOfProblem({ code, detail }: Problem, mayKnow: boolean, { host }: ImageReference): Verdict {
  switch (code) {
    case "registry-unknown":
      return notCovered(host);
    case "outside-grants":
      return mayKnow ? { outcome: "refused", code, message: detail } : notCovered(host);
    case "too-many-requests":
    case "upstream-throttled":
    case "upstream-unreachable":
    case "upstream-timeout":
    case "upstream-circuit-open":
    case "unavailable":
    case "conflict":
      return { outcome: "unknown", code, message: detail };
    default:
      return { outcome: "refused", code, message: detail };
  }
}

const notCovered = (host: string): Verdict => ({
  outcome: "not-covered",
  code: "registry-unknown",
  message: `No registry entry or grant of this caller is for ${host}: it is pulled without a login. If it is private, add an entry for ${host} to the factory config, or the registry to the grants.`,
});

function verdictOfFound(found: Found, image: ImageReference, wanted: readonly string[]): Verdict {
  const name = `${image.repository}${image.digest ? `@${image.digest}` : `:${image.tag}`}`;
  switch (found.state) {
    case "missing":
      return {
        outcome: "missing",
        message: `${image.host} has no ${name}. Look for a typing error, or push it first.`,
      };
    case "refused":
      return {
        outcome: "refused",
        message: `${image.host} answers ${found.status} for ${name}: there is no such repository, or the stored credential of its registry entry may not pull it.`,
      };
    case "found":
      return verdictOfPlatforms(found, image.host, wanted);
    default:
      return found satisfies never;
  }
}

function verdictOfPlatforms(
  { digest, platforms }: Extract<Found, { state: "found" }>,
  host: string,
  wanted: readonly string[],
): Verdict {
  const lacking = platforms ? wanted.filter((platform) => !hasPlatform(platforms, platform)) : [];
  if (lacking.length > 0 && platforms)
    return {
      outcome: "platform-missing",
      message: `It is there for ${platforms.join(", ")}, not for ${lacking.join(", ")}. Push it for that too, or choose another.`,
      digest,
      platforms: [...platforms],
    };
  const unseen =
    platforms === undefined && wanted.length > 0
      ? ` Neither the image nor ${host} says for which platforms it is.`
      : "";
  return {
    outcome: "ok",
    message: `It can be pulled.${unseen}`,
    digest,
    ...(platforms && { platforms: [...platforms] }),
  };
}

/**
 * Whether an image that is there for `platforms` runs on `wanted`. A platform without a variant stands for each of
 * them; the 64-bit ARM of today is v8, which is written or left out (containerd, platforms/database.go).
 */
export function hasPlatform(platforms: readonly string[], wanted: string): boolean {
  const [os, architecture, variant] = partsOf(wanted);
  return platforms.map(partsOf).some(([hasOs, hasArchitecture, hasVariant]) => {
    if (hasOs !== os || hasArchitecture !== architecture) return false;
    return variant === undefined || hasVariant === undefined || hasVariant === variant;
  });
}

function partsOf(platform: string): [string, string, string | undefined] {
  const [os = "", architecture = "", variant] = platform.split("/");
  if (architecture === "arm64" && variant === "v8") return [os, architecture, undefined];
  return [os, architecture, variant];
}
