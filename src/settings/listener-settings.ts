import ipaddr from "ipaddr.js";
import { listOf, type Reader, wholeNumber } from "./reader.js";

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
      mistake(`FACTORY_SECRETS_TRUSTED_PROXIES: "${proxy}" is no address and no CIDR, such as 10.0.0.0/8.`);
    }
  }
  return proxies;
}
