import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { parseJson } from "./json-value.js";

export type Question = {
  method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  url: string;
  headers: Readonly<Record<string, string>>;
  body?: string | Buffer;
  authorities: readonly string[] | undefined;
  /** From the first byte to the last; where the body is taken, to its first byte. */
  timeoutMs: number;
  /** Takes the body piece by piece when the answer is 200 and of the media type that was asked for. */
  take?: ((pieces: AsyncIterable<string>) => Promise<void>) | undefined;
  /** Of the pieces: in `latin1` each character is a byte. */
  encoding?: "utf8" | "latin1" | undefined;
};

export type Answer = {
  status: number;
  /** What `Retry-After` asks for, in seconds; only its form with a number (RFC 9110, 10.2.3). */
  retryAfterSeconds: number | undefined;
  etag: string | undefined;
  /** The clock of the service, from its `Date` header. */
  date: Date | undefined;
  /** Where a redirect leads to. */
  location: string | undefined;
  /** The body as it came. */
  text: string;
  /** The parsed JSON; `undefined` when the body is none. */
  body: unknown;
};

/** No answer came. `message` is a sentence; `isPassing` says that another try may go better. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";

  constructor(
    message: string,
    readonly isPassing: boolean,
    /** The service cannot have read the request. Otherwise it may have done what it was asked. */
    readonly isUnread = false,
    /** The other side was asked in the clear and hung up before any answer, as one that speaks TLS does. */
    readonly mayBeTls = false,
    /** What the other side asks for before another try, where it was heard for all that. */
    readonly retryAfterSeconds: number | undefined = undefined,
  ) {
    super(message);
  }
}

/** The most that is read of an answer. */
const maxBytes = 4 * 1024 * 1024;

/** A body that is taken may pause for this long. */
const longestSilenceMs = 60_000;

/**
 * Asks once. Redirects are not followed: they could carry the token elsewhere.
 * @throws NoAnswer, and what `take` throws
 */
export async function sendOnce(question: Question): Promise<Answer> {
  const { origin } = new URL(question.url);
  const { signal, end } = startClock(question.timeoutMs);
  let isAnswering = false;
  let isTaken = false;
  try {
    const response = await open(question, signal);
    isAnswering = true;
    isTaken = isForTaking(question, response);
    const { etag, location, date, "retry-after": retryAfter } = response.headers;
    const text = isTaken ? await handOver(response, question, end) : await readText(response);
    return {
      status: response.statusCode ?? 0,
      retryAfterSeconds: retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined,
      etag,
      date: date === undefined || Number.isNaN(Date.parse(date)) ? undefined : new Date(date),
      location,
      text,
      body: parseJson(text),
    };
  } catch (error) {
    if (error instanceof NoAnswer || isTaken) throw error;
    if (signal.aborted)
      throw new NoAnswer(`${origin} did not answer within ${Math.ceil(question.timeoutMs / 1_000)} s.`, true);
    throw noAnswer(origin, error, isAnswering);
  } finally {
    end();
  }
}

function startClock(timeoutMs: number): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  return { signal: controller.signal, end: () => clearTimeout(timer) };
}

const isForTaking = ({ take, headers }: Question, { statusCode, headers: answered }: IncomingMessage): boolean =>
  take !== undefined && statusCode === 200 && answered["content-type"]?.split(";")[0] === headers.accept;

/** @returns no text: it went to `take` */
async function handOver(
  response: IncomingMessage,
  { take, encoding }: Question,
  endClock: () => void,
): Promise<string> {
  endClock();
  response.setTimeout(longestSilenceMs, () => response.destroy(new Error("nothing more came")));
  await take?.(response.setEncoding(encoding ?? "utf8"));
  return "";
}

function open({ url, method, headers, body, authorities }: Question, signal: AbortSignal): Promise<IncomingMessage> {
  const options: RequestOptions & { ca?: string[] } = {
    method,
    signal,
    headers: { accept: "application/json", "user-agent": "factory-secrets-cli", ...headers },
    ...(authorities && { ca: [...authorities] }),
  };
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    send(url, options, resolve).on("error", reject).end(body);
  });
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new NoAnswer("The answer is far too long to be one of this service.", false);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function noAnswer(origin: string, error: unknown, wasAnswering: boolean): NoAnswer {
  const code = codeOf(error);
  if (code === "ECONNREFUSED")
    return new NoAnswer(`Nothing listens at ${origin}: the connection was refused.`, true, true);
  if (code === "ENOTFOUND")
    return new NoAnswer(`The name in ${origin} does not resolve. Is --url or FACTORY_SECRETS_URL right?`, false, true);
  if (isAboutCertificate(code))
    return new NoAnswer(
      `${origin} shows a certificate that is not trusted here (${code}). Set FACTORY_SECRETS_CA_FILE, or --ca-file, to the authority that signed it.`,
      false,
      true,
    );
  if (origin.startsWith("https:") && !wasAnswering && /^(?:EPROTO|ERR_SSL_)/.test(code ?? ""))
    return new NoAnswer(
      `${origin} does not speak TLS (${code}). If the service is asked in the clear there, use http://.`,
      false,
      true,
    );
  const mayBeTls = origin.startsWith("http:") && !wasAnswering && /^(ECONNRESET|EPIPE|HPE_)/.test(code ?? "");
  const broke = `The connection to ${origin} broke${code === undefined ? "" : ` (${code})`}.`;
  return new NoAnswer(broke, true, false, mayBeTls);
}

/** Node's and OpenSSL's names for a certificate that does not verify (tls documentation, "X509 certificate error codes"). */
function isAboutCertificate(code: string | undefined): boolean {
  return code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ERR_TLS|INVALID_CA/.test(code);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
