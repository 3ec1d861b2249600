import { askPatiently } from "../../client/ask-patiently.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { explainSilence } from "../../client/explain-stranger.js";
import { listAt, sentenceAt } from "../../client/json-value.js";
import { NoAnswer, sendOnce } from "../../client/send-once.js";
import { explainAnswer } from "../explain-answer.js";
import type { JobClient } from "../request-tokens.js";
import type { Mention } from "./mention.js";

/**
 * What the service says of a reference; `unresolved` where it cannot be told which image is meant, and `passed-over` where
 * something was not looked at.
 */
export type Checked = {
  mention: Mention;
  outcome: string;
  message: string;
  code?: string;
  entry?: string;
  digest?: string;
  platforms?: readonly string[];
};

type Verdict = Omit<Checked, "mention">;

/** The service takes so many in one request. */
const atOnce = 100;

/**
 * Asks the service about every image that is mentioned, for the platforms that it is pulled for.
 * @throws CommandFailure when it does not answer
 */
export async function checkMentions(client: JobClient, mentions: readonly Mention[]): Promise<Checked[]> {
  const byPlatforms = new Map<string, Set<string>>();
  for (const mention of mentions) {
    if (!("reference" in mention)) continue;
    const key = platformsKey(mention);
    byPlatforms.set(key, (byPlatforms.get(key) ?? new Set()).add(mention.reference));
  }
  const verdicts = new Map<string, Verdict>();
  for (const [key, wanted] of byPlatforms) {
    const references = [...wanted];
    for (let from = 0; from < references.length; from += atOnce) {
      const some = references.slice(from, from + atOnce);
      const items = await ask(client, some, key === "" ? [] : key.split(","));
      for (const [index, reference] of some.entries()) verdicts.set(`${key} ${reference}`, verdictOf(items[index]));
    }
  }
  return mentions.map((mention) => {
    if ("unresolved" in mention) return { mention, outcome: "unresolved", message: mention.unresolved };
    if ("passedOver" in mention) return { mention, outcome: "passed-over", message: mention.passedOver };
    return { mention, ...(verdicts.get(`${platformsKey(mention)} ${mention.reference}`) ?? verdictOf(undefined)) };
  });
}

const platformsKey = ({ platforms = [] }: { platforms?: readonly string[] }): string => platforms.toSorted().join(",");

async function ask(
  { settings, identity, terminal }: JobClient,
  references: readonly string[],
  platforms: readonly string[],
): Promise<readonly unknown[]> {
  const url = `${settings.url}/v1/factories/${encodeURIComponent(settings.factory)}/references:check`;
  const body = JSON.stringify({ references, ...(platforms.length > 0 && { platforms }) });
  try {
    const answer = await askPatiently(terminal, settings.patienceMs, async (timeoutMs) => {
      const headers = {
        authorization: `Bearer ${await identity.present(timeoutMs)}`,
        "content-type": "application/json",
      };
      return sendOnce({ method: "POST", url, headers, body, authorities: settings.authorities, timeoutMs });
    });
    if (answer.status !== 200) throw await explainAnswer({ settings, identity, terminal }, answer);
    const items = listAt(answer.body, "items");
    if (items.length === references.length) return items;
    throw new CommandFailure(
      exitCodes.unavailable,
      `What ${settings.url} answers is not what factory-secrets does. Is FACTORY_SECRETS_URL right?`,
    );
  } catch (error) {
    if (error instanceof NoAnswer) throw explainSilence(error, settings);
    throw error;
  }
}

function verdictOf(item: unknown): Verdict {
  const code = sentenceAt(item, "code");
  const entry = sentenceAt(item, "entry");
  const digest = sentenceAt(item, "digest");
  const platforms = listAt(item, "platforms").filter((name) => typeof name === "string");
  return {
    outcome: sentenceAt(item, "outcome") ?? "unknown",
    message: sentenceAt(item, "message") ?? "",
    ...(code !== undefined && { code }),
    ...(entry !== undefined && { entry }),
    ...(digest !== undefined && { digest }),
    ...(platforms.length > 0 && { platforms }),
  };
}
