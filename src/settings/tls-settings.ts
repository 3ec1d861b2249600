import type { Reader } from "./reader.js";
import type { Settings } from "./settings.js";

/** The files of the service's own certificate: both or neither. */
export function tlsSettings({ text, mistake }: Reader): Settings["tls"] {
  const certFile = text("FACTORY_SECRETS_TLS_CERT_FILE");
  const keyFile = text("FACTORY_SECRETS_TLS_KEY_FILE");
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile };
  if (certFile !== undefined) mistake("FACTORY_SECRETS_TLS_CERT_FILE is set without FACTORY_SECRETS_TLS_KEY_FILE.");
  if (keyFile !== undefined) mistake("FACTORY_SECRETS_TLS_KEY_FILE is set without FACTORY_SECRETS_TLS_CERT_FILE.");
  return undefined;
}
