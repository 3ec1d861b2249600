import type { AddressRange } from "./addresses.js";
import { type ConnectToRule, hostAndPortKey } from "./connect-to.js";
import type { ProxySettings } from "./proxy.js";

/** The settings that change where calls go, one sentence each. The proxy's password is not among them. */
export function describeOutbound(settings: {
  connectTo: readonly ConnectToRule[];
  allowAddresses: readonly AddressRange[];
  caCertificates: readonly string[];
  proxy: ProxySettings | undefined;
}): readonly string[] {
  const { connectTo, allowAddresses, caCertificates, proxy } = settings;
  const sentences = connectTo.map(
    ({ from, to }) =>
      `FACTORY_SECRETS_CONNECT_TO: calls to ${hostAndPortKey(from)} go to ${hostAndPortKey(to)}; TLS is verified for ${from.host}.`,
  );
  if (allowAddresses.length > 0) {
    const ranges = allowAddresses.map((range) => range.text).join(", ");
    sentences.push(`FACTORY_SECRETS_ALLOW_ADDRESSES: hosts may resolve into ${ranges}.`);
  }
  if (caCertificates.length > 0) {
    sentences.push(`FACTORY_SECRETS_CA_FILE: ${caCertificates.length} further certificate authorities are trusted.`);
  }
  if (proxy !== undefined) {
    const scheme = proxy.secure ? "https" : "http";
    sentences.push(
      `FACTORY_SECRETS_HTTPS_PROXY: outbound calls go through ${scheme}://${hostAndPortKey(proxy)}, by address.`,
    );
  }
  return sentences;
}
