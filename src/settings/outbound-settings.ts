import { readFileSync } from "node:fs";
import { parseAllowedRealms, parsePassThroughHosts } from "../broker/providers/docker/generic.js";
import { parseAddressRanges } from "../outbound/addresses.js";
import { parseCaCertificates } from "../outbound/certificate-authorities.js";
import { parseConnectTo } from "../outbound/connect-to.js";
import { type OutboundSettings, outboundDefaults } from "../outbound/outbound.js";
import { parseProxyUrl } from "../outbound/proxy.js";
import { type Reader, wholeNumber } from "./reader.js";
import type { Settings } from "./settings.js";

/** Which hosts may get more than the rules of the house give them. */
export function operatorHosts({ text, mistake }: Reader): Pick<Settings, "allowedRealms" | "passThroughHosts"> {
  const { realms, mistakes: realmMistakes } = parseAllowedRealms(text("FACTORY_SECRETS_ALLOWED_REALMS") ?? "");
  const { hosts, mistakes: hostMistakes } = parsePassThroughHosts(text("FACTORY_SECRETS_PASS_THROUGH_HOSTS") ?? "");
  for (const sentence of realmMistakes) mistake(`FACTORY_SECRETS_ALLOWED_REALMS: ${sentence}`);
  for (const sentence of hostMistakes) mistake(`FACTORY_SECRETS_PASS_THROUGH_HOSTS: ${sentence}`);
  return { allowedRealms: realms, passThroughHosts: hosts };
}

/** Where outbound calls go, and by whose certificates they are believed. */
export function outboundSettings({ text, mistake }: Reader): OutboundSettings {
  const connectTo = parseConnectTo(text("FACTORY_SECRETS_CONNECT_TO") ?? "");
  const addresses = parseAddressRanges(text("FACTORY_SECRETS_ALLOW_ADDRESSES") ?? "");
  const pem = authoritiesText(text("FACTORY_SECRETS_CA_FILE"), mistake);
  const authorities = pem === undefined ? { certificates: [], mistakes: [] } : parseCaCertificates(pem);
  const proxyText = text("FACTORY_SECRETS_HTTPS_PROXY");
  const proxy = proxyText === undefined ? undefined : parseProxyUrl(proxyText);
  for (const sentence of connectTo.mistakes) mistake(`FACTORY_SECRETS_CONNECT_TO: ${sentence}`);
  for (const sentence of addresses.mistakes) mistake(`FACTORY_SECRETS_ALLOW_ADDRESSES: ${sentence}`);
  for (const sentence of authorities.mistakes) mistake(`FACTORY_SECRETS_CA_FILE: ${sentence}`);
  if (proxy && "mistake" in proxy) mistake(`FACTORY_SECRETS_HTTPS_PROXY: ${proxy.mistake}`);
  return {
    ...outboundDefaults,
    connectTo: connectTo.rules,
    allowAddresses: addresses.ranges,
    caCertificates: authorities.certificates,
    proxy: proxy && "proxy" in proxy ? proxy.proxy : undefined,
  };
}

function authoritiesText(path: string | undefined, mistake: Reader["mistake"]): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch {
    mistake(`FACTORY_SECRETS_CA_FILE names a file that cannot be read: ${path}`);
    return undefined;
  }
}

const most = 1_000_000;

/** How many blobs the relay sends at once, and how long one may stand still. */
export function relaySettings(reader: Reader): Settings["relay"] {
  return {
    maxStreams: wholeNumber(reader, "FACTORY_SECRETS_RELAY_MAX_STREAMS", 256, [1, 10_000]),
    maxStreamsOfCaller: wholeNumber(reader, "FACTORY_SECRETS_RELAY_MAX_STREAMS_PER_CALLER", 32, [1, 10_000]),
    idleSeconds: wholeNumber(reader, "FACTORY_SECRETS_RELAY_IDLE_SECONDS", 60, [1, 3_600]),
  };
}

/** How much of what a minute allows; 0 turns a limit off. */
export function limitSettings(reader: Reader): Settings["limits"] {
  return {
    authFailuresPerMinute: wholeNumber(reader, "FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE", 60, [0, most]),
    tokenRequestsPerMinute: wholeNumber(reader, "FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE", 600, [0, most]),
  };
}
