import { isIP } from "node:net";
import { isNeverAllowedAddress } from "./addresses.js";

export type HostAndPort = { host: string; port: number };

/** One rule of `FACTORY_SECRETS_CONNECT_TO`: a call to `from` goes to `to`, and TLS is still verified for `from.host`. */
export type ConnectToRule = { from: HostAndPort; to: HostAndPort };

const example = "registry.example.com:443=127.0.0.1:8443";

/**
 * Reads `FACTORY_SECRETS_CONNECT_TO`: `HOST:PORT=HOST:PORT,...`, an IPv6 address in brackets.
 * Unlike curl's option it takes no empty parts: a rule permits exactly one address for exactly one host.
 * Every mistake is a sentence about one item; items without one are in `rules`.
 */
export function parseConnectTo(text: string): { rules: ConnectToRule[]; mistakes: string[] } {
  const rules: ConnectToRule[] = [];
  const mistakes: string[] = [];
  const seen = new Set<string>();
  for (const item of text.split(",").map((part) => part.trim())) {
    if (item === "") continue;
    const rule = parseRule(item);
    if (typeof rule === "string") {
      mistakes.push(rule);
      continue;
    }
    const key = hostAndPortKey(rule.from);
    if (seen.has(key)) mistakes.push(`"${item}": ${key} is named twice.`);
    seen.add(key);
    rules.push(rule);
  }
  return { rules, mistakes };
}

/** The form in which hosts are compared: lower case, without a trailing dot, an IPv6 address without brackets. */
export function normaliseHost(host: string): string {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  return bare.toLowerCase().replace(/\.$/, "");
}

/** `host:port` for keys and messages, an IPv6 address in brackets. */
export function hostAndPortKey({ host, port }: HostAndPort): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseRule(item: string): ConnectToRule | string {
  const sides = item.split("=");
  const [left, right] = sides;
  if (left === undefined || right === undefined || sides.length !== 2) {
    return `"${item}" is not of the form HOST:PORT=HOST:PORT, for example ${example}.`;
  }
  const from = parseHostAndPort(left);
  const to = parseHostAndPort(right);
  if (from === undefined || to === undefined) {
    const wrong = from === undefined ? left : right;
    return `"${item}": "${wrong}" is not HOST:PORT with a port from 1 to 65535, for example ${example}.`;
  }
  if (isNeverAllowedAddress(to.host)) {
    return `"${item}": ${to.host} is a link-local, metadata or multicast address, which stays refused.`;
  }
  return { from, to };
}

function parseHostAndPort(text: string): HostAndPort | undefined {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})$/.exec(text.trim());
  const host = match?.[1];
  const port = Number(match?.[2]);
  if (host === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const bare = normaliseHost(host);
  if (bare === "" || (host.startsWith("[") && isIP(bare) !== 6)) return undefined;
  return { host: bare, port };
}
