import { askPatiently } from "../client/ask-patiently.js";
import { CommandFailure } from "../client/command-failure.js";
import { explainSilence, explainStranger } from "../client/explain-stranger.js";
import { isObject, listAt, textAt } from "../client/json-value.js";
import { type Answer, NoAnswer, type Question, sendOnce } from "../client/send-once.js";
import { explainProblem, type WaysOut } from "./explain-problem.js";
import type { OperatorClient } from "./operator-client.js";

export type Wanted = {
  method: Question["method"];
  /** Below the service's URL, such as `/v1/whoami`. */
  path: string;
  /** Those that are `undefined` are left out. */
  query?: Readonly<Record<string, string | boolean | undefined>>;
  json?: unknown;
  /** A body that is no JSON. */
  document?: { mediaType: string; bytes: Buffer };
  ifMatch?: string | undefined;
  ifNoneMatch?: "*" | undefined;
  accept?: string;
  /** Takes a body of the type `accept` piece by piece, which may be of any length. */
  take?: Question["take"];
  /** What the service may name as ways out, and what they are on the command line. */
  ways?: WaysOut;
};

/** Asks, and gives back whatever the service answers. @throws CommandFailure when it does not */
export async function send(client: OperatorClient, wanted: Wanted): Promise<Answer> {
  const { connection, identity, terminal } = client;
  const isRead = wanted.method === "GET";
  try {
    return await askPatiently(
      terminal,
      connection.patienceMs,
      async (timeoutMs) =>
        sendOnce({
          method: wanted.method,
          url: urlOf(connection.url, wanted),
          headers: { ...headersOf(wanted), authorization: `Bearer ${await identity.present(timeoutMs)}` },
          ...bodyOf(wanted),
          authorities: connection.authorities,
          timeoutMs,
          take: wanted.take,
        }),
      isRead ? "whatever-failed" : "what-was-not-done",
    );
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const failure = explainSilence(error, connection);
    if (isRead || error.isUnread) throw failure;
    throw new CommandFailure(failure.exitCode, `${failure.message}\nIt may have been done all the same: look first.`);
  }
}

/** Asks for what must be answered well. @throws CommandFailure with what to tell a person */
export async function ask(client: OperatorClient, wanted: Wanted): Promise<Answer> {
  const answer = await send(client, wanted);
  if (answer.status < 200 || answer.status > 299) throw await explainProblem(client, answer, wanted.ways);
  // A page of somebody else can say 200 too.
  const isJson = answer.status === 204 || wanted.accept !== undefined || isObject(answer.body);
  if (!isJson) throw explainStranger(client.connection.url, answer);
  return answer;
}

/** All items of a list, page by page. @throws CommandFailure as `ask` */
export async function listAll(
  client: OperatorClient,
  path: string,
  query: Wanted["query"] = {},
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let pageToken: string | undefined;
  do {
    const { body } = await ask(client, { method: "GET", path, query: { ...query, pageSize: "200", pageToken } });
    items.push(...listAt(body, "items"));
    pageToken = textAt(body, "nextPageToken");
    if (pageToken !== undefined && items.length % 2_000 === 0) client.terminal.note(`${items.length} so far ...`);
  } while (pageToken !== undefined);
  return items;
}

/** A path, each part of which stands for itself. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

function urlOf(service: string, { path, query = {} }: Wanted): string {
  const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  );
  const text = new URLSearchParams(given).toString();
  return `${service}${path}${text === "" ? "" : `?${text}`}`;
}

function headersOf({ json, document, ifMatch, ifNoneMatch, accept }: Wanted): Record<string, string> {
  return {
    ...(json !== undefined && { "content-type": "application/json" }),
    ...(document && { "content-type": document.mediaType }),
    ...(ifMatch !== undefined && { "if-match": ifMatch }),
    ...(ifNoneMatch !== undefined && { "if-none-match": ifNoneMatch }),
    ...(accept !== undefined && { accept }),
  };
}

function bodyOf({ json, document }: Wanted): { body?: string | Buffer } {
  if (document) return { body: document.bytes };
  return json === undefined ? {} : { body: JSON.stringify(json) };
}
