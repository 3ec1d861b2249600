import ipaddr from "ipaddr.js";
import type { DeviceProxySettings } from "../identity/devices/forwarded-certificate.js";
import { listOf, type Reader, wholeNumber } from "./reader.js";

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
      mistake(`FACTORY_SECRETS_DEVICE_PROXIES: "${address}" is no address and no CIDR, such as 10.0.0.0/8.`);
  }
  if (!/^[A-Za-z0-9-]{1,64}$/.test(header))
    mistake("FACTORY_SECRETS_DEVICE_CERT_HEADER must be the name of a header, such as X-SSL-Client-Cert.");
  if (secret !== undefined && secret.length < minSecretLength)
    mistake(`FACTORY_SECRETS_DEVICE_PROXY_SECRET must have ${minSecretLength} characters or more.`);
  if (addresses.length > 0 !== (secret !== undefined))
    mistake("FACTORY_SECRETS_DEVICE_PROXIES and FACTORY_SECRETS_DEVICE_PROXY_SECRET are set together or not at all.");
  return secret === undefined || addresses.length === 0 ? undefined : { addresses, secret, header };
}
