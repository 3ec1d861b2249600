import { parseImageReference } from "../../../broker/references/image-reference.js";
import { explainAnswer } from "../explain-answer.js";
import { readFailures } from "../registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "../request-tokens.js";
import type { Mention } from "./mention.js";

/** What to request tokens for, and the registries that need none. */
export type WantedFor = {
  requests: readonly { registry: string; repositories: readonly string[] }[];
  /** No entry or no grant covers them: images are pulled from them without a login. */
  withoutLogin: readonly string[];
};

/**
 * Finds the registries among the mentions that the caller may have tokens for, and the repositories to request.
 * @throws CommandFailure when the service does not answer
 */
export async function wantedFor(
  client: JobClient,
  mentions: readonly Mention[],
  allowed: Pick<Wanted, "allowBroader">,
): Promise<WantedFor> {
  const named = [...repositoriesOf(mentions)].map(([registry, repositories]) => ({ registry, repositories }));
  if (named.length === 0) return { requests: [], withoutLogin: [] };
  const answer = await askForTokens(client, {
    ...allowed,
    allowPartial: true,
    registries: [],
    repositories: [],
    requests: named,
  });
  const failures = readFailures(answer.body);
  if (answer.status !== 200 && failures.length === 0) throw await explainAnswer(client, answer);
  const refused = failures.filter(({ code }) => code === "outside-grants").map(({ registry }) => registry);
  const granted = refused.length > 0 ? await grantedRegistries(client, refused) : [];
  const withoutLogin = [
    ...failures.filter(({ code }) => code === "registry-unknown").map(({ registry }) => registry),
    ...refused.filter((registry) => !granted.includes(registry)),
  ];
  return { requests: named.filter(({ registry }) => !withoutLogin.includes(registry)), withoutLogin };
}

/**
 * The registries that a grant of the caller names, for other repositories. Only the service knows: a grant can name a
 * registry by its host or by the id of an entry.
 */
async function grantedRegistries(client: JobClient, registries: readonly string[]): Promise<string[]> {
  const answer = await askForTokens(client, {
    ...{ allowPartial: true, allowBroader: true, registries: [], repositories: [] },
    requests: registries.map((registry) => ({ registry })),
  });
  const failures = readFailures(answer.body);
  if (answer.status !== 200 && failures.length === 0) throw await explainAnswer(client, answer);
  const beyond = failures.filter(({ code }) => code === "outside-grants" || code === "registry-unknown");
  return registries.filter((registry) => !beyond.some((failure) => failure.registry === registry));
}

/** The mentioned repositories by host. Texts that are not references are left out. */
function repositoriesOf(mentions: readonly Mention[]): Map<string, string[]> {
  const byHost = new Map<string, Set<string>>();
  for (const mention of mentions) {
    const image = "reference" in mention ? parseImageReference(mention.reference) : "";
    if (typeof image === "string") continue;
    byHost.set(image.host, (byHost.get(image.host) ?? new Set()).add(image.repository));
  }
  return new Map([...byHost].map(([host, repositories]) => [host, [...repositories].toSorted()]));
}
