import { type RequestOptions as HttpRequestOptions, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import { Problem } from "../core/problem.js";
import { type HostAndPort, hostAndPortKey, normaliseHost } from "./connect-to.js";

/** The operator's forward proxy. Its own address is not judged: the operator named it. */
export type ProxySettings = HostAndPort & {
  /** The proxy itself is spoken to over TLS. */
  secure: boolean;
  /** Value of `Proxy-Authorization`, when the URL holds a user and password. */
  authorization?: string;
};

/**
 * Reads `FACTORY_SECRETS_HTTPS_PROXY`: `http://[user:password@]host[:port]` or `https://...`.
 * A mistake is a sentence that does not quote the value, which may hold a password.
 */
export function parseProxyUrl(text: string): { proxy: ProxySettings } | { mistake: string } {
  const form =
    "write http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before the host if the proxy asks for it.";
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (url === undefined) return { mistake: `It is not a URL: ${form}` };
  if (url.protocol !== "http:" && url.protocol !== "https:")
    return { mistake: `Its scheme is neither http nor https: ${form}` };
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return { mistake: `It has a path or a query: ${form}` };
  const credentials = decodeUserinfo(url);
  if (credentials === undefined) return { mistake: `Its user or password is not valid percent-encoding: ${form}` };
  const secure = url.protocol === "https:";
  const proxy = { host: normaliseHost(url.hostname), port: Number(url.port || (secure ? 443 : 80)), secure };
  if (credentials === ":") return { proxy };
  return { proxy: { ...proxy, authorization: `Basic ${Buffer.from(credentials).toString("base64")}` } };
}

/**
 * Opens a tunnel through the proxy with CONNECT (RFC 9110, section 9.3.6).
 *
 * `target` holds an address that was resolved and judged here, not a name: a proxy that resolved a name once more could
 * be led to another address than the one that was judged. A proxy that permits destinations by name must know them by
 * address, or the operator maps the host with FACTORY_SECRETS_CONNECT_TO.
 *
 * @throws Problem `upstream-unreachable` when the proxy refuses; the socket's own error when it cannot be reached.
 */
export function openTunnel(
  proxy: ProxySettings,
  target: HostAndPort,
  options: { signal: AbortSignal; secureContext: SecureContext | undefined },
): Promise<Socket> {
  const authority = hostAndPortKey(target);
  const request: HttpRequestOptions = {
    host: proxy.host,
    port: proxy.port,
    method: "CONNECT",
    path: authority,
    headers: {
      host: authority,
      ...(proxy.authorization === undefined ? {} : { "proxy-authorization": proxy.authorization }),
    },
    agent: false,
    signal: options.signal,
  };
  return new Promise((resolve, reject) => {
    const connect = proxy.secure
      ? httpsRequest({ ...request, ...(options.secureContext ? { secureContext: options.secureContext } : {}) })
      : httpRequest(request);
    connect.on("error", reject);
    connect.once("response", (response) => {
      response.destroy();
      reject(proxyRefusal(response.statusCode));
    });
    connect.once("connect", (response, socket, head) => {
      // Node has taken its own listener off. An error before the next owner listens must not end the process.
      socket.on("error", () => undefined);
      if (response.statusCode === undefined || response.statusCode < 200 || response.statusCode > 299) {
        socket.destroy();
        reject(proxyRefusal(response.statusCode));
        return;
      }
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    connect.end();
  });
}

function decodeUserinfo(url: URL): string | undefined {
  try {
    return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  } catch {
    return undefined;
  }
}

function proxyRefusal(status: number | undefined): Problem {
  const hint =
    status === 407
      ? "it wants a user and password in FACTORY_SECRETS_HTTPS_PROXY"
      : "ask its operator to permit this address";
  return new Problem(
    "upstream-unreachable",
    `The outbound proxy refused the connection with status ${status ?? "unknown"}: ${hint}.`,
  );
}
