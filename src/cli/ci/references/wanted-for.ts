import { normaliseHost } from "../../../core/normalise-host.js";
import { explainSilence } from "../../client/explain-stranger.js";
import { listAt, sentenceAt } from "../../client/json-value.js";
import { NoAnswer, sendOnce } from "../../client/send-once.js";
import { explainAnswer } from "../explain-answer.js";
import { readFailures } from "../registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "../request-tokens.js";
import type { Mention } from "./mention.js";
import { repositoriesOf } from "./repositories-of.js";

/** What a tree of files needs tokens for, and the registries of which it needs none. */
export type WantedFor = {
  requests: readonly { registry: string; repositories: readonly string[] }[];
  /** No entry, or no grant, is for them: they are pulled from without a login. */
  withoutLogin: readonly string[];
};

/**
 * Finds out which of the registries that are mentioned the caller can have tokens for, and for which repositories to ask.
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
  const granted = refused.length > 0 ? await grantedHosts(client) : [];
  const withoutLogin = [
    ...failures.filter(({ code }) => code === "registry-unknown").map(({ registry }) => registry),
    ...refused.filter((registry) => !granted.includes(registry)),
  ];
  return { requests: named.filter(({ registry }) => !withoutLogin.includes(registry)), withoutLogin };
}

/** The hosts that the caller's grants name. */
async function grantedHosts(client: JobClient): Promise<string[]> {
  const { settings, identity } = client;
  const url = `${settings.url}/v1/whoami`;
  try {
    const timeoutMs = settings.patienceMs;
    const headers = { authorization: `Bearer ${await identity.present(timeoutMs)}` };
    const answer = await sendOnce({ method: "GET", url, headers, authorities: settings.authorities, timeoutMs });
    return listAt(answer.body, "grants").flatMap((grant) => {
      const host = normaliseHost(sentenceAt(grant, "registry") ?? "");
      return host.ok ? [host.host] : [];
    });
  } catch (error) {
    if (error instanceof NoAnswer) throw explainSilence(error, settings);
    throw error;
  }
}
