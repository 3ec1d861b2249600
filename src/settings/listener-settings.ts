import ipaddr from "ipaddr.js";
import type { DeviceProxySettings } from "../identity/devices/forwarded-certificate.js";
import { listOf, type Reader, wholeNumber } from "./reader.js";
import type { Settings } from "./settings.js";

const defaultPort = 8080;
/** Where scrapers look for exporters by default. */
const defaultMetricsPort = 9464;

/** Whether only programs of this machine can connect to this address. */
export const isLoopback = (host: string): boolean => /^(localhost|127\..*|::1)$/.test(host);

/** Where the service listens, and how it is reached from outside. */
export function listenerSettings(reader: Reader) {
  const host = reader.text("HOST") ?? "127.0.0.1";
  return {
    host,
    port: wholeNumber(reader, "PORT", defaultPort, [0, 65_535]),
    publicUrl: publicUrl(reader),
    trustedProxies: trustedProxies(reader),
    metricsPort: metricsPort(reader, host),
    drainSeconds: wholeNumber(reader, "FACTORY_SECRETS_DRAIN_SECONDS", 5, [0, 300]),
  };
}

/** `undefined`: the main port. Beyond this machine `/metrics` has a port of its own, which can be kept inside. */
function metricsPort(reader: Reader, host: string): number | undefined {
  const name = "FACTORY_SECRETS_METRICS_PORT";
  const given = reader.text(name) ?? (isLoopback(host) ? undefined : String(defaultMetricsPort));
  if (given === undefined) return undefined;
  const isTaken = given !== "0" && given === (reader.text("PORT") ?? String(defaultPort));
  if (isTaken) reader.mistake(`${name} is the same as PORT. Choose another, or leave it out.`);
  if (reader.text(name) === undefined) return defaultMetricsPort;
  return wholeNumber(reader, name, 0, [0, 65_535]);
}

function publicUrl({ text, mistake }: Reader): string | undefined {
  const given = text("FACTORY_SECRETS_PUBLIC_URL");
  if (given === undefined) return undefined;
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  if (plain && url.protocol === "http:" && text("FACTORY_SECRETS_TLS_CERT_FILE") !== undefined) {
    mistake(
      "FACTORY_SECRETS_PUBLIC_URL begins with http://, but with FACTORY_SECRETS_TLS_CERT_FILE the service speaks TLS alone. Write https://.",
    );
  }
  if (plain) return url.href.replace(/\/$/, "");
  mistake("FACTORY_SECRETS_PUBLIC_URL must be an http or https URL without user name, query or fragment.");
  return undefined;
}

function trustedProxies({ text, mistake }: Reader): string[] {
  const proxies = listOf(text("FACTORY_SECRETS_TRUSTED_PROXIES"));
  for (const proxy of proxies) {
    if (!ipaddr.isValid(proxy) && !ipaddr.isValidCIDR(proxy)) {
      mistake(`FACTORY_SECRETS_TRUSTED_PROXIES: "${proxy}" is neither an address nor a CIDR, such as 10.0.0.0/8.`);
    }
  }
  return proxies;
}

/** The files of the service's own certificate: both or neither. */
export function tlsSettings({ text, mistake }: Reader): Settings["tls"] {
  const certFile = text("FACTORY_SECRETS_TLS_CERT_FILE");
  const keyFile = text("FACTORY_SECRETS_TLS_KEY_FILE");
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile };
  if (certFile !== undefined) mistake("FACTORY_SECRETS_TLS_CERT_FILE is set without FACTORY_SECRETS_TLS_KEY_FILE.");
  if (keyFile !== undefined) mistake("FACTORY_SECRETS_TLS_KEY_FILE is set without FACTORY_SECRETS_TLS_CERT_FILE.");
  return undefined;
}

/** `port`: of the TLS listener for devices. `proxies`: who may hand on certificates. Both are off unless they are set. */
export type DeviceSettings = { port: number | undefined; proxies: DeviceProxySettings | undefined };

const portName = "FACTORY_SECRETS_DEVICE_PORT";
const minSecretLength = 32;

/** How devices reach the service: by a TLS listener of their own, or through a proxy that hands on their certificates. */
export function deviceSettings(reader: Reader): DeviceSettings {
  return { port: devicePort(reader), proxies: deviceProxies(reader) };
}

function devicePort(reader: Reader): number | undefined {
  const { text, mistake } = reader;
  const given = text(portName);
  if (given === undefined) return undefined;
  if (text("FACTORY_SECRETS_TLS_CERT_FILE") === undefined)
    mistake(`${portName} is a TLS listener: set FACTORY_SECRETS_TLS_CERT_FILE and FACTORY_SECRETS_TLS_KEY_FILE too.`);
  const others = [text("PORT"), text("FACTORY_SECRETS_METRICS_PORT")];
  if (given !== "0" && others.includes(given)) mistake(`${portName} is the port of another listener. Choose another.`);
  return wholeNumber(reader, portName, 0, [0, 65_535]);
}

function deviceProxies({ text, mistake }: Reader): DeviceProxySettings | undefined {
  const addresses = listOf(text("FACTORY_SECRETS_DEVICE_PROXIES"));
  const secret = text("FACTORY_SECRETS_DEVICE_PROXY_SECRET");
  const header = text("FACTORY_SECRETS_DEVICE_CERT_HEADER") ?? "X-Forwarded-Client-Cert";
  for (const address of addresses) {
    if (!ipaddr.isValid(address) && !ipaddr.isValidCIDR(address))
      mistake(`FACTORY_SECRETS_DEVICE_PROXIES: "${address}" is neither an address nor a CIDR, such as 10.0.0.0/8.`);
  }
  if (!/^[A-Za-z0-9-]{1,64}$/.test(header))
    mistake("FACTORY_SECRETS_DEVICE_CERT_HEADER must be the name of a header, such as X-SSL-Client-Cert.");
  if (secret !== undefined && secret.length < minSecretLength)
    mistake(`FACTORY_SECRETS_DEVICE_PROXY_SECRET must have ${minSecretLength} characters or more.`);
  if (addresses.length > 0 !== (secret !== undefined))
    mistake("FACTORY_SECRETS_DEVICE_PROXIES and FACTORY_SECRETS_DEVICE_PROXY_SECRET are set together or not at all.");
  return secret === undefined || addresses.length === 0 ? undefined : { addresses, secret, header };
}
