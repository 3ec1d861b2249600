import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { parseJson } from "./json-value.js";

export type HttpRequest = {
  method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  url: string;
  headers: Readonly<Record<string, string>>;
  body?: string | Buffer;
  authorities: readonly string[] | undefined;
  /** From the first byte to the last; with `take`, to the first byte of the body. */
  timeoutMs: number;
  /** Takes the body piece by piece, when the answer is 200 with the media type that was asked for. */
  take?: ((pieces: AsyncIterable<string>) => Promise<void>) | undefined;
  /** Encoding of the pieces; in `latin1` each character is one byte. */
  encoding?: "utf8" | "latin1" | undefined;
};

export type Answer = {
  status: number;
  /** `Retry-After` in seconds; only its form with a number (RFC 9110, 10.2.3). */
  retryAfterSeconds: number | undefined;
  etag: string | undefined;
  /** The `Date` header: the clock of the service. */
  date: Date | undefined;
  location: string | undefined;

  text: string;
  /** The parsed body; `undefined` when it is not JSON. */
  body: unknown;
};

/** No answer came. `message` is a sentence for a person. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";

  constructor(
    message: string,
    /** A retry may succeed. */
    readonly isTransient: boolean,
    /** The service cannot have read the request. Otherwise it may have done it. */
    readonly isNotRead = false,
    /** The request was plain HTTP and the connection closed without an answer, as a TLS server does. */
    readonly mayBeTls = false,
    /** `Retry-After` of the answer that this failure was made from. */
    readonly retryAfterSeconds: number | undefined = undefined,
  ) {
    super(message);
  }
}

const maxBytes = 4 * 1024 * 1024;

/** The longest pause within a body that `take` reads. */
const longestSilenceMs = 60_000;

/**
 * Sends one request. Redirects are not followed: the token would go along.
 * @throws NoAnswer, and what `take` throws
 */
export async function sendOnce(request: HttpRequest): Promise<Answer> {
  const { origin } = new URL(request.url);
  const { signal, end } = startClock(request.timeoutMs);
  let isAnswering = false;
  let isStreamed = false;
  try {
    const response = await open(request, signal);
    isAnswering = true;
    isStreamed = mayStream(request, response);
    const { etag, location, date, "retry-after": retryAfter } = response.headers;
    const text = isStreamed ? await streamBody(response, request, end) : await readText(response);
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
    if (error instanceof NoAnswer || isStreamed) throw error;
    if (signal.aborted)
      throw new NoAnswer(`${origin} did not answer within ${Math.ceil(request.timeoutMs / 1_000)} s.`, true);
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

const mayStream = ({ take, headers }: HttpRequest, { statusCode, headers: answered }: IncomingMessage): boolean =>
  take !== undefined && statusCode === 200 && answered["content-type"]?.split(";")[0] === headers.accept;

/** @returns an empty text: the body went to `take` */
async function streamBody(
  response: IncomingMessage,
  { take, encoding }: HttpRequest,
  endClock: () => void,
): Promise<string> {
  endClock();
  response.setTimeout(longestSilenceMs, () => response.destroy(new Error("the answer stopped")));
  await take?.(response.setEncoding(encoding ?? "utf8"));
  return "";
}

function open({ url, method, headers, body, authorities }: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
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
    if (bytes > maxBytes)
      throw new NoAnswer("The answer is longer than any of this service. Check FACTORY_SECRETS_URL or --url.", false);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function noAnswer(origin: string, error: unknown, wasAnswering: boolean): NoAnswer {
  const code = codeOf(error);
  if (code === "ECONNREFUSED")
    return new NoAnswer(`Nothing listens at ${origin}: the connection was refused.`, true, true);
  if (code === "ENOTFOUND")
    return new NoAnswer(`The name in ${origin} does not resolve. Check FACTORY_SECRETS_URL or --url.`, false, true);
  if (isAboutCertificate(code))
    return new NoAnswer(
      `${origin} has a certificate that this machine does not trust (${code}). Set FACTORY_SECRETS_CA_FILE, or --ca-file, to the certificate of the authority that signed it.`,
      false,
      true,
    );
  if (origin.startsWith("https:") && !wasAnswering && /^(?:EPROTO|ERR_SSL_)/.test(code ?? ""))
    return new NoAnswer(
      `${origin} does not speak TLS (${code}). If the service speaks plain HTTP there, use http://.`,
      false,
      true,
    );
  const mayBeTls = origin.startsWith("http:") && !wasAnswering && /^(ECONNRESET|EPIPE|HPE_)/.test(code ?? "");
  const broke = `The connection to ${origin} broke${code === undefined ? "" : ` (${code})`}.`;
  return new NoAnswer(broke, true, false, mayBeTls);
}

/** Node's and OpenSSL's codes for a certificate that does not verify (tls documentation, "X509 certificate error codes"). */
function isAboutCertificate(code: string | undefined): boolean {
  return code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ERR_TLS|INVALID_CA/.test(code);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
