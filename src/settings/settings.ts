import { parseShipTo, type ShipTo } from "../audit/shipping/targets.js";
import type { parseAllowedRealms } from "../broker/providers/docker/generic.js";
import type { ConfiguredKey } from "../crypto/open-key-ring.js";
import { isKey } from "../crypto/read-key.js";
import type { TransitToken } from "../crypto/sources/transit.js";
import type { TlsFiles } from "../http/tls-certificate.js";
import type { OutboundSettings } from "../outbound/outbound.js";
import { databaseSettings, keySettings } from "./database-settings.js";
import { type DeviceSettings, deviceSettings, listenerSettings, tlsSettings } from "./listener-settings.js";

import { limitSettings, operatorHosts, outboundSettings, relaySettings } from "./outbound-settings.js";

import { createReader, type Environment, listOf, type Reader, wholeNumber } from "./reader.js";

/** Every setting, as docs/settings.md lists it. Each can also be given as `<NAME>_FILE`, the path of a file that holds it. */
export const settingNames = {
  HOST: "Address to listen on.",
  PORT: "Port to listen on; 0 for a free one.",
  DATABASE_URL: "Postgres to use. Without it the service runs its own.",
  DATABASE_DIRECT_URL: "The same database without a pooler in front, for the one LISTEN connection.",
  FACTORY_SECRETS_DATA_DIR: "Where the embedded database and its key live.",
  FACTORY_SECRETS_KEY: "The key-encryption key: 32 bytes in base64.",
  FACTORY_SECRETS_KEYS: "Further key-encryption keys: file:/PATH, env:NAME, awskms:///ARN, transit://HOST/MOUNT/KEY",
  FACTORY_SECRETS_TRANSIT_TOKEN: "Token for Transit, of Vault or OpenBao.",
  FACTORY_SECRETS_PUBLIC_URL: "How clients reach the service; printed in commands.",
  FACTORY_SECRETS_TLS_CERT_FILE: "Path of the service's own certificate with its chain, PEM.",
  FACTORY_SECRETS_TLS_KEY_FILE: "Path of that certificate's private key, PEM.",
  FACTORY_SECRETS_TRUSTED_PROXIES: "Addresses and CIDRs whose X-Forwarded-For is believed.",
  FACTORY_SECRETS_DEVICE_PORT: "Port for devices, which show their certificates in the TLS handshake.",
  FACTORY_SECRETS_DEVICE_PROXIES: "Addresses and CIDRs of proxies that hand on the certificates of devices.",
  FACTORY_SECRETS_DEVICE_PROXY_SECRET: "Shared with those proxies, which send it as X-Device-Proxy-Secret.",
  FACTORY_SECRETS_DEVICE_CERT_HEADER: "Header of those proxies that holds the certificate.",
  FACTORY_SECRETS_HTTPS_PROXY: "Proxy for outbound calls.",
  FACTORY_SECRETS_CONNECT_TO: "HOST:PORT=HOST:PORT,...: connect there instead, as curl's --connect-to.",
  FACTORY_SECRETS_CA_FILE: "Further certificate authorities for outbound calls, PEM.",
  FACTORY_SECRETS_ALLOW_ADDRESSES: "CIDRs of private addresses that registries may have.",
  FACTORY_SECRETS_ALLOWED_REALMS: "REGISTRY=REALM,...: token services on another host that may get credentials.",
  FACTORY_SECRETS_PASS_THROUGH_HOSTS: "Registries whose stored user:token may be handed out itself.",
  FACTORY_SECRETS_AUDIT_SHIP_TO: "Where audit events are sent: stdout, file:/PATH, https://..., syslog+tls://HOST",
  FACTORY_SECRETS_MAX_SECRETS: "Most secrets of one factory.",
  FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "Most failed authentications of one address; 0 for no limit.",
  FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE:
    "Most requests of one caller for registry tokens, and for access tokens; 0 for no limit.",
  FACTORY_SECRETS_RELAY_MAX_STREAMS: "Most blobs that the relay sends at once.",
  FACTORY_SECRETS_RELAY_MAX_STREAMS_PER_CALLER: "Most blobs that the relay sends one caller at once.",
  FACTORY_SECRETS_RELAY_IDLE_SECONDS: "How long a blob may stand still before the relay cuts it off.",
  FACTORY_SECRETS_UNDELETE_DAYS: "For how many days a deleted secret can be had back.",
  FACTORY_SECRETS_DATABASE_CONNECTIONS: "Size of the connection pool.",
  FACTORY_SECRETS_METRICS_PORT:
    "Port of HOST for /metrics. Default: 9464, or the main port when HOST is this machine only.",
  FACTORY_SECRETS_DRAIN_SECONDS:
    "How long the service still answers after SIGTERM, while /readyz is 503; 0 for not at all.",
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
  keys: readonly ConfiguredKey[];
  transitToken: TransitToken | undefined;
  /** The service speaks TLS itself. */
  tls: TlsFiles | undefined;
  trustedProxies: readonly string[];
  devices: DeviceSettings;
  metricsPort: number | undefined;
  drainSeconds: number;
  logLevel: LogLevel;
  maxSecrets: number;
  /** 0: no limit. */
  limits: { authFailuresPerMinute: number; tokenRequestsPerMinute: number };
  relay: { maxStreams: number; maxStreamsOfCaller: number; idleSeconds: number };
  undeleteDays: number;
  allowedRealms: ReturnType<typeof parseAllowedRealms>["realms"];
  passThroughHosts: readonly string[];
  auditShipTo: readonly ShipTo[];
  outbound: OutboundSettings;
};

const logLevels = ["fatal", "error", "warn", "info", "debug", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** The environment does not make sense. `mistakes` are sentences for the operator; none quotes a secret. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  constructor(readonly mistakes: readonly string[]) {
    super(`The settings need attention:\n${mistakes.map((mistake) => `  - ${mistake}`).join("\n")}`);
  }
}

/**
 * Reads the settings from an environment.
 * @throws SettingsError with every mistake at once
 */
export function readSettings(environment: Environment): Settings {
  const mistakes: string[] = [];
  const reader = createReader(Object.keys(settingNames), environment, (sentence) => {
    mistakes.push(sentence);
  });
  const settings: Settings = {
    ...listenerSettings(reader),
    devices: deviceSettings(reader),
    tls: tlsSettings(reader),
    database: databaseSettings(reader),
    databaseConnections: wholeNumber(reader, "FACTORY_SECRETS_DATABASE_CONNECTIONS", 10, [2, 500]),
    key: reader.text("FACTORY_SECRETS_KEY"),
    ...keySettings(reader, environment),
    logLevel: logLevel(reader),
    maxSecrets: wholeNumber(reader, "FACTORY_SECRETS_MAX_SECRETS", 1_000, [1, 100_000]),
    limits: limitSettings(reader),
    relay: relaySettings(reader),
    undeleteDays: wholeNumber(reader, "FACTORY_SECRETS_UNDELETE_DAYS", 30, [0, 3_650]),
    ...operatorHosts(reader),
    outbound: outboundSettings(reader),
    auditShipTo: auditShipTo(reader),
  };
  if (mistakes.length > 0) {
    checkKey(reader);
    throw new SettingsError(mistakes);
  }
  return Object.freeze(settings);
}

/**
 * Tells of a key that is not one, beside other mistakes. Alone it is left to who has asked the database, and can say which
 * key is needed.
 */
function checkKey({ text, mistake }: Reader): void {
  const given = text("FACTORY_SECRETS_KEY");
  if (given !== undefined && !isKey(given))
    mistake("FACTORY_SECRETS_KEY does not hold a key, which is 32 bytes in base64.");
}

function auditShipTo({ text, mistake }: Reader): readonly ShipTo[] {
  const { targets, mistakes } = parseShipTo(listOf(text("FACTORY_SECRETS_AUDIT_SHIP_TO")));
  for (const sentence of mistakes) mistake(`FACTORY_SECRETS_AUDIT_SHIP_TO: ${sentence}`);
  return targets;
}

function logLevel({ text, mistake }: Reader): LogLevel {
  const given = text("FACTORY_SECRETS_LOG_LEVEL");
  const level = logLevels.find((known) => known === given);
  if (given !== undefined && level === undefined)
    mistake(`FACTORY_SECRETS_LOG_LEVEL must be one of ${logLevels.join(", ")}.`);
  return level ?? "info";
}
