import { readFileSync } from "node:fs";
import ipaddr from "ipaddr.js";
import { parseAllowedRealms, parsePassThroughHosts } from "./broker/providers/operator-hosts.js";
import { isKey } from "./crypto/read-key.js";
import { nearestName } from "./nearest-name.js";
import { parseAddressRanges } from "./outbound/addresses.js";
import { parseCaCertificates } from "./outbound/certificate-authorities.js";
import { parseConnectTo } from "./outbound/connect-to.js";
import { type OutboundSettings, outboundDefaults } from "./outbound/outbound.js";
import { parseProxyUrl } from "./outbound/proxy.js";

/** Every setting, as the README lists it. Each can also be given as `<NAME>_FILE`, the path of a file that holds it. */
export const settingNames = {
  HOST: "Address to listen on.",
  PORT: "Port to listen on; 0 for a free one.",
  DATABASE_URL: "Postgres to use. Without it the service runs its own.",
  DATABASE_DIRECT_URL: "The same database without a pooler in front, for the one LISTEN connection.",
  FACTORY_SECRETS_DATA_DIR: "Where the embedded database and its key live.",
  FACTORY_SECRETS_KEY: "The key-encryption key: 32 bytes in base64.",
  FACTORY_SECRETS_PUBLIC_URL: "How clients reach the service; printed in commands.",
  FACTORY_SECRETS_TRUSTED_PROXIES: "Addresses and CIDRs whose X-Forwarded-For is believed.",
  FACTORY_SECRETS_HTTPS_PROXY: "Proxy for outbound calls.",
  FACTORY_SECRETS_CONNECT_TO: "HOST:PORT=HOST:PORT,...: connect there instead, as curl's --connect-to.",
  FACTORY_SECRETS_CA_FILE: "Further certificate authorities for outbound calls, PEM.",
  FACTORY_SECRETS_ALLOW_ADDRESSES: "CIDRs of private addresses that registries may have.",
  FACTORY_SECRETS_ALLOWED_REALMS: "REGISTRY=REALM,...: token services on another host that may get credentials.",
  FACTORY_SECRETS_PASS_THROUGH_HOSTS: "Registries whose stored user:token may be handed out itself.",
  FACTORY_SECRETS_MAX_SECRETS: "Most secrets of one factory.",
  FACTORY_SECRETS_DATABASE_CONNECTIONS: "Size of the connection pool.",
  FACTORY_SECRETS_METRICS_PORT: "Serve /metrics on this port of HOST instead of the main one.",
  FACTORY_SECRETS_LOG_LEVEL: "fatal, error, warn, info, debug or silent.",
} as const;

export type SettingName = keyof typeof settingNames;

export type Settings = {
  host: string;
  port: number;
  publicUrl: string | undefined;
  database: { kind: "external"; url: string; directUrl: string } | { kind: "embedded"; dataDirectory: string };
  databaseConnections: number;
  key: string | undefined;
  trustedProxies: readonly string[];
  metricsPort: number | undefined;
  logLevel: LogLevel;
  maxSecrets: number;
  allowedRealms: ReturnType<typeof parseAllowedRealms>["realms"];
  passThroughHosts: readonly string[];
  outbound: OutboundSettings;
};

const defaultPort = 8080;
const logLevels = ["fatal", "error", "warn", "info", "debug", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** The environment does not make sense. `mistakes` are sentences for the operator; none quotes a secret. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  constructor(readonly mistakes: readonly string[]) {
    super(`The settings need attention:\n${mistakes.map((mistake) => `  - ${mistake}`).join("\n")}`);
  }
}

type Environment = Readonly<Record<string, string | undefined>>;
type Reader = { text: (name: SettingName) => string | undefined; mistake: (sentence: string) => void };

/**
 * Reads the settings from an environment.
 * @throws SettingsError with every mistake at once
 */
export function readSettings(environment: Environment): Settings {
  const mistakes: string[] = [];
  const mistake = (sentence: string): void => void mistakes.push(sentence);
  refuseUnknownNames(environment, mistake);
  const texts = new Map<string, string | undefined>();
  for (const name of Object.keys(settingNames)) texts.set(name, textOf(environment, name, mistake));
  const reader: Reader = { text: (name) => texts.get(name), mistake };
  const settings: Settings = {
    host: reader.text("HOST") ?? "127.0.0.1",
    port: wholeNumber(reader, "PORT", defaultPort, 0, 65_535),
    publicUrl: publicUrl(reader),
    database: database(reader),
    databaseConnections: wholeNumber(reader, "FACTORY_SECRETS_DATABASE_CONNECTIONS", 10, 2, 500),
    key: reader.text("FACTORY_SECRETS_KEY"),
    trustedProxies: trustedProxies(reader),
    metricsPort: metricsPort(reader),
    logLevel: logLevel(reader),
    maxSecrets: wholeNumber(reader, "FACTORY_SECRETS_MAX_SECRETS", 1_000, 1, 100_000),
    ...operatorHosts(reader),
    outbound: outbound(reader),
  };
  if (mistakes.length > 0) {
    checkKey(reader);
    throw new SettingsError(mistakes);
  }
  return Object.freeze(settings);
}

function refuseUnknownNames(environment: Environment, mistake: (sentence: string) => void): void {
  const known = Object.keys(settingNames).flatMap((name) => [name, `${name}_FILE`]);
  for (const name of Object.keys(environment)) {
    // Names of the test suite's own programs; the service is sometimes started with the suite's environment.
    if (!/^FACTORY_SECRETS?_/.test(name) || name.startsWith("FACTORY_SECRETS_TEST_") || known.includes(name)) continue;
    const near = nearestName(name, known);
    mistake(`${name} is no setting of this program.${near === undefined ? "" : ` Did you mean ${near}?`}`);
  }
}

function textOf(environment: Environment, name: string, mistake: (sentence: string) => void): string | undefined {
  const direct = environment[name] || undefined;
  const path = environment[`${name}_FILE`] || undefined;
  if (path === undefined) return direct;
  if (direct !== undefined) {
    mistake(`${name} and ${name}_FILE are both set. Keep one.`);
    return direct;
  }
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    mistake(`${name}_FILE names a file that cannot be read: ${path}`);
    return undefined;
  }
}

function wholeNumber({ text, mistake }: Reader, name: SettingName, fallback: number, min: number, max: number): number {
  const given = text(name);
  if (given === undefined) return fallback;
  const value = /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  mistake(`${name} must be a whole number from ${min} to ${max}.`);
  return fallback;
}

function metricsPort(reader: Reader): number | undefined {
  const name = "FACTORY_SECRETS_METRICS_PORT";
  const given = reader.text(name);
  if (given === undefined) return undefined;
  const isTaken = given !== "0" && given === (reader.text("PORT") ?? String(defaultPort));
  if (isTaken) reader.mistake(`${name} is the same as PORT. Choose another, or leave it out.`);
  return wholeNumber(reader, name, 0, 0, 65_535);
}

/**
 * Tells of a key that is none, beside other mistakes. Alone it is left to who has asked the database, and can say which
 * key is needed.
 */
function checkKey({ text, mistake }: Reader): void {
  const given = text("FACTORY_SECRETS_KEY");
  if (given !== undefined && !isKey(given))
    mistake("FACTORY_SECRETS_KEY does not hold a key, which is 32 bytes in base64.");
}

function publicUrl({ text, mistake }: Reader): string | undefined {
  const given = text("FACTORY_SECRETS_PUBLIC_URL");
  if (given === undefined) return undefined;
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  if (plain) return url.href.replace(/\/$/, "");
  mistake("FACTORY_SECRETS_PUBLIC_URL must be an http or https URL without user name, query or fragment.");
  return undefined;
}

function database({ text, mistake }: Reader): Settings["database"] {
  const url = text("DATABASE_URL");
  const directUrl = text("DATABASE_DIRECT_URL");
  for (const [name, value] of [
    ["DATABASE_URL", url],
    ["DATABASE_DIRECT_URL", directUrl],
  ] as const) {
    // The URL holds a password, so the sentence does not.
    if (value !== undefined && !/^postgres(ql)?:\/\//.test(value)) mistake(`${name} must begin with postgresql://`);
    else if (value !== undefined && !URL.canParse(value))
      mistake(`${name} is no URL. Write special characters of the password as percent and two digits: / as %2F.`);
  }
  if (url !== undefined) return { kind: "external", url, directUrl: directUrl ?? url };
  if (directUrl !== undefined) mistake("DATABASE_DIRECT_URL is set without DATABASE_URL.");
  return { kind: "embedded", dataDirectory: text("FACTORY_SECRETS_DATA_DIR") ?? ".factory-secrets" };
}

function trustedProxies({ text, mistake }: Reader): string[] {
  const proxies = listOf(text("FACTORY_SECRETS_TRUSTED_PROXIES"));
  for (const proxy of proxies) {
    if (!ipaddr.isValid(proxy) && !ipaddr.isValidCIDR(proxy)) {
      mistake(`FACTORY_SECRETS_TRUSTED_PROXIES: "${proxy}" is no address and no CIDR, such as 10.0.0.0/8.`);
    }
  }
  return proxies;
}

function logLevel({ text, mistake }: Reader): LogLevel {
  const given = text("FACTORY_SECRETS_LOG_LEVEL");
  const level = logLevels.find((known) => known === given);
  if (given !== undefined && level === undefined)
    mistake(`FACTORY_SECRETS_LOG_LEVEL must be one of ${logLevels.join(", ")}.`);
  return level ?? "info";
}

function operatorHosts({ text, mistake }: Reader): Pick<Settings, "allowedRealms" | "passThroughHosts"> {
  const { realms, mistakes: realmMistakes } = parseAllowedRealms(text("FACTORY_SECRETS_ALLOWED_REALMS") ?? "");
  const { hosts, mistakes: hostMistakes } = parsePassThroughHosts(text("FACTORY_SECRETS_PASS_THROUGH_HOSTS") ?? "");
  for (const sentence of realmMistakes) mistake(`FACTORY_SECRETS_ALLOWED_REALMS: ${sentence}`);
  for (const sentence of hostMistakes) mistake(`FACTORY_SECRETS_PASS_THROUGH_HOSTS: ${sentence}`);
  return { allowedRealms: realms, passThroughHosts: hosts };
}

function outbound({ text, mistake }: Reader): OutboundSettings {
  const connectTo = parseConnectTo(text("FACTORY_SECRETS_CONNECT_TO") ?? "");
  const addresses = parseAddressRanges(text("FACTORY_SECRETS_ALLOW_ADDRESSES") ?? "");
  const pem = authoritiesText({ text, mistake });
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

function authoritiesText({ text, mistake }: Reader): string | undefined {
  const path = text("FACTORY_SECRETS_CA_FILE");
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch {
    mistake(`FACTORY_SECRETS_CA_FILE names a file that cannot be read: ${path}`);
    return undefined;
  }
}

function listOf(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
