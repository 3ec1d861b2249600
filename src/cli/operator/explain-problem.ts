import { CommandFailure, type ExitCode, exitCodes } from "../client/command-failure.js";
import { explainStranger, pathHint } from "../client/explain-stranger.js";
import { listAt, sentenceAt, textAt } from "../client/json-value.js";
import { type Answer, NoAnswer, sendOnce } from "../client/send-once.js";
import type { OperatorClient } from "./operator-client.js";
import { ofEnvironment } from "./operator-identity.js";

/** Whoever has logged in since may not know that it still counts. */
const whoseToken = `That is ${ofEnvironment}, which wins over a login.`;

/** A way out as the service names it for its API, and what it is on the command line. */
export type WaysOut = Readonly<Record<string, string>>;

const waysOfParameters: WaysOut = {
  "force=true": "On this command line: --force.",
  "==FILE": "On this command line: --from-file FILE.",
  "allowUnusable=true": "On this command line: --allow-unusable.",
};

/** What to do about a code, whatever the sentence says. */
const waysOfCodes: WaysOut = {
  "precondition-failed": "Somebody has changed it since. Look at it again, then repeat the command.",
  "destination-not-approved": "On this command line: `factory-secrets whoami` shows what your token may do.",
};

/**
 * Turns a refusal into what to tell a person: the service's own sentence, each thing that is not valid on a line of its
 * own, and the id that finds the request in the service's log.
 * @param ways - those of the command itself
 */
export async function explainProblem(
  client: OperatorClient,
  answer: Answer,
  ways: WaysOut = {},
): Promise<CommandFailure> {
  const code = textAt(answer.body, "code");
  if (code === undefined) return explainStranger(client.connection.url, answer);
  const requestId = sentenceAt(answer.body, "requestId");
  const wrongFactory = code === "not-found" ? await explainFactory(client) : undefined;
  const lines = [
    wrongFactory ?? headline(client, code, answer),
    ...itemLines(answer.body),
    ...(code === "forbidden" && client.identity.description === ofEnvironment ? [whoseToken] : []),
    ...(code === "not-found" && pathHint(client.connection.url) !== "" ? [pathHint(client.connection.url).trim()] : []),
    ...waysHere(code, sentenceAt(answer.body, "detail") ?? "", ways),
    `(${code}${requestId === undefined ? "" : `, request ${requestId}`})`,
  ];
  const exitCode = wrongFactory === undefined ? exitCodeOf(answer.status, code) : exitCodes.notAccepted;
  return new CommandFailure(exitCode, lines.join("\n"));
}

/** The service speaks of its API; this is the same on the command line. */
function waysHere(code: string, detail: string, ways: WaysOut): string[] {
  const ofCode = waysOfCodes[code];
  const named = Object.entries({ ...waysOfParameters, ...ways }).filter(([parameter]) => detail.includes(parameter));
  return [...(ofCode === undefined ? [] : [ofCode]), ...named.map(([, way]) => way)];
}

/** What is wrong with the input, and which registries gave nothing: one a line. */
export function itemLines(problem: unknown): string[] {
  const invalid = listAt(problem, "invalid").map(
    (item) => `  ${sentenceAt(item, "at") ?? ""}: ${sentenceAt(item, "reason") ?? ""}`,
  );
  const failures = listAt(problem, "failures").map(
    (item) => `  ${sentenceAt(item, "registry") ?? ""}: ${sentenceAt(item, "message") ?? ""}`,
  );
  return [...invalid, ...failures];
}

function headline({ identity }: OperatorClient, code: string, answer: Answer): string {
  if (code === "unauthenticated")
    return `The service does not accept ${identity.description}: it was withdrawn, has expired, or is not copied whole. Log in again: factory-secrets login`;
  const detail = sentenceAt(answer.body, "detail") ?? "The service gives no reason.";
  const title = sentenceAt(answer.body, "title");
  // With a list of items the detail may only string them together.
  const [first] = listAt(answer.body, "invalid");
  const reason = sentenceAt(first, "reason");
  return title !== undefined && reason !== undefined && detail.includes(reason) ? `${title}:` : detail;
}

/** To whom a factory does not exist, nothing in it does: whether it is the factory that is not found. */
async function explainFactory({ connection, identity, factory }: OperatorClient): Promise<string | undefined> {
  if (factory === undefined) return undefined;
  const timeoutMs = Math.min(5_000, connection.patienceMs);
  const look = async (path: string): Promise<Answer> =>
    sendOnce({
      method: "GET",
      url: `${connection.url}${path}`,
      headers: { authorization: `Bearer ${await identity.present(timeoutMs)}` },
      authorities: connection.authorities,
      timeoutMs,
    });
  try {
    const caller = await look("/v1/whoami");
    const own = sentenceAt(caller.body, "factory");
    if (own !== undefined)
      return own === factory ? undefined : `${identity.description} is for the factory "${own}", not for "${factory}".`;
    const found = await look(`/v1/factories/${encodeURIComponent(factory)}`);
    return found.status === 404 ? `There is no factory "${factory}".` : undefined;
  } catch (error) {
    // It only was to make the sentence better.
    if (error instanceof NoAnswer || error instanceof CommandFailure) return undefined;
    throw error;
  }
}

function exitCodeOf(status: number, code: string): ExitCode {
  if (code === "unauthenticated" || code === "forbidden") return exitCodes.notAccepted;
  if (code === "malformed-body" || code === "invalid-request") return exitCodes.usage;
  if (code === "upstream-refused") return exitCodes.refused;
  return status === 429 || status >= 500 ? exitCodes.unavailable : exitCodes.refused;
}
