import { askWithRetries, explainForeignAnswer, explainNoAnswer, pathHint } from "../client/ask-with-retries.js";
import { CommandFailure, type ExitCode, exitCodes } from "../client/command-failure.js";

import { isObject, listAt, sentenceAt, textAt } from "../client/json-value.js";
import { type Answer, type HttpRequest, NoAnswer, sendOnce } from "../client/send-once.js";
import type { OperationId } from "./generated/operations.js";
import { hasParameter, operationOf, requestOf, type Values } from "./operation.js";
import { factoryOf, type OperatorClient, ofEnvironment } from "./operator-client.js";

export type CallOptions = {
  /** The whole body, instead of its members. */
  body?: Buffer;
  /** Takes a reply of any length piece by piece. */
  take?: HttpRequest["take"];
  encoding?: HttpRequest["encoding"];
  /** Hints for refusals; `hintsOfCommands` by default. */
  hints?: Hints;
};

/** The hint for the command line, by a part of the service's sentence. */
type Hints = Readonly<Record<string, string>>;

/**
 * Calls an operation of the API, and returns any answer.
 * @param values - by name, as `requestOf` takes them. The factory is the client's unless it is among them.
 * @throws CommandFailure when the service does not answer
 */
export async function send(
  client: OperatorClient,
  id: OperationId,
  values: Values = {},
  { body, take, encoding }: CallOptions = {},
): Promise<Answer> {
  const { connection, identity, terminal } = client;
  const factory = hasParameter(id, "factory") ? { factory: values.factory ?? factoryOf(client) } : {};
  const request = requestOf(id, { ...values, ...factory }, body);
  const { isOpen } = operationOf(id);
  const isRead = request.method === "GET";
  try {
    return await askWithRetries(
      terminal,
      connection.giveUpAfterMs,
      async (timeoutMs) =>
        sendOnce({
          ...request,
          url: `${connection.url}${request.path}`,
          headers: {
            ...request.headers,
            ...(isOpen !== true && { authorization: `Bearer ${await identity.present(timeoutMs)}` }),
          },
          authorities: connection.authorities,
          timeoutMs,
          take,
          encoding,
        }),
      isRead ? "any-failure" : "only-if-not-done",
    );
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const failure = explainNoAnswer(error, connection);
    if (isRead || error.isNotRead) throw failure;
    throw new CommandFailure(
      failure.exitCode,
      `${failure.message}\nThe service may have done it anyway. Check before you repeat the command.`,
    );
  }
}

/** Calls an operation that must succeed. @throws CommandFailure with the reason */
export async function call(
  client: OperatorClient,
  id: OperationId,
  values: Values = {},
  options: CallOptions = {},
): Promise<Answer> {
  const answer = await send(client, id, values, options);
  if (answer.status < 200 || answer.status > 299) throw await explainProblem(client, answer, options.hints);
  // A proxy's or another server's page can say 200 too.
  const isJson = answer.status === 204 || operationOf(id).reply !== "application/json" || isObject(answer.body);
  if (!isJson) throw explainForeignAnswer(client.connection.url, answer);
  return answer;
}

/** All items of a list, page by page. @throws CommandFailure as `call` */
export async function listAll(
  client: OperatorClient,
  id: OperationId,
  values: Values = {},
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let pageToken: string | undefined;
  do {
    const paging = hasParameter(id, "pageToken") ? { pageSize: 200, pageToken } : {};
    const { body } = await call(client, id, { ...values, ...paging });
    items.push(...listAt(body, "items"));
    pageToken = textAt(body, "nextPageToken");
    if (pageToken !== undefined && items.length % 2_000 === 0) client.terminal.note(`${items.length} items so far ...`);
  } while (pageToken !== undefined);
  return items;
}

export const hintsOfCommands: Hints = {
  "force=true": "On this command line: --force.",
  "==FILE": "On this command line: --from-file FILE.",
  "allowUnusable=true": "On this command line: --allow-unusable.",
};

/** The next step for a code. */
const hintsOfCodes: Readonly<Record<string, string>> = {
  "precondition-failed": "It was changed meanwhile. Look at it again, then repeat the command.",
  "destination-not-approved": "To see what your token may do: factory-secrets whoami",
};

/**
 * The message for a refusal: the service's sentence, one line for each invalid value, and the request id, which finds the
 * request in the service's log.
 */
export async function explainProblem(
  client: OperatorClient,
  answer: Answer,
  hints: Hints = hintsOfCommands,
): Promise<CommandFailure> {
  const { connection, identity } = client;
  const code = textAt(answer.body, "code");
  if (code === undefined) return explainForeignAnswer(connection.url, answer);
  const requestId = sentenceAt(answer.body, "requestId");
  const wrongFactory = code === "not-found" ? await explainFactory(client) : undefined;
  const detail = sentenceAt(answer.body, "detail") ?? "";
  const named = Object.entries(hints).filter(([part]) => detail.includes(part));
  const pathMayBeWrong = code === "not-found" && pathHint(connection.url) !== "";
  const isOfEnvironment = code === "forbidden" && identity.description === ofEnvironment;
  const lines = [
    wrongFactory ?? headline(client, code, answer),
    ...itemLines(answer.body),
    // A login made in the meantime is not used.
    ...(isOfEnvironment ? [`The command used ${ofEnvironment}, which wins over a login.`] : []),
    ...(pathMayBeWrong ? [pathHint(connection.url).trim()] : []),
    ...[hintsOfCodes[code]].filter((hint) => hint !== undefined),
    ...named.map(([, hint]) => hint),
    `(${code}${requestId === undefined ? "" : `, request ${requestId}`})`,
  ];
  const exitCode = wrongFactory === undefined ? exitCodeOf(answer.status, code) : exitCodes.notAccepted;
  return new CommandFailure(exitCode, lines.join("\n"));
}

/** One line for each invalid value and each failed registry. */
function itemLines(problem: unknown): string[] {
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
    return `The service does not accept ${identity.description}: it was withdrawn, has expired, or is not copied whole. To log in again: factory-secrets login`;
  const detail = sentenceAt(answer.body, "detail") ?? "The service gave no reason.";
  const title = sentenceAt(answer.body, "title");
  // With a list of items the detail may only join them.
  const [first] = listAt(answer.body, "invalid");
  const reason = sentenceAt(first, "reason");
  return title !== undefined && reason !== undefined && detail.includes(reason) ? `${title}:` : detail;
}

/** The sentence for a wrong factory: the service answers 404 for everything in the factory of another. */
async function explainFactory({ connection, identity, factory }: OperatorClient): Promise<string | undefined> {
  if (factory === undefined) return undefined;
  const timeoutMs = Math.min(5_000, connection.giveUpAfterMs);
  const look = async (id: OperationId): Promise<Answer> => {
    const { path, method, headers } = requestOf(id, hasParameter(id, "factory") ? { factory } : {});
    const authorization = `Bearer ${await identity.present(timeoutMs)}`;
    const { url, authorities } = connection;
    return sendOnce({ method, url: `${url}${path}`, headers: { ...headers, authorization }, authorities, timeoutMs });
  };
  try {
    const own = sentenceAt((await look("whoAmI")).body, "factory");
    if (own !== undefined)
      return own === factory ? undefined : `${identity.description} is for the factory "${own}", not for "${factory}".`;
    return (await look("getFactory")).status === 404 ? `There is no factory "${factory}".` : undefined;
  } catch (error) {
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
