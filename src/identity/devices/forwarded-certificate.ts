import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { readPemBlocks } from "./certificate.js";

/** A proxy that terminates the devices' TLS and hands on their certificates. */
export type DeviceProxySettings = {
  /** Addresses and CIDRs that its connections come from. */
  addresses: readonly string[];
  /** Shared with it, and sent with each certificate: an address alone can be another program's. */
  secret: string;
  /** `X-Forwarded-Client-Cert`, as Envoy writes it; any other name holds nginx's escaped PEM. */
  header: string;
};

/** Where the proxy sends the secret. */
export const proofHeader = "x-device-proxy-secret";

const envoyHeader = "x-forwarded-client-cert";

/** DER, the device's own certificate first. */
export type ForwardedCertificates = { leaf: Buffer; others: readonly Buffer[] };

/** Reads the certificates that listed proxies hand on. */
export class ForwardedCertificateReader {
  readonly #proxies = new BlockList();
  readonly #secretHash: Buffer;
  readonly #header: string;

  constructor(settings: DeviceProxySettings) {
    for (const address of settings.addresses) {
      const [base = "", prefix] = address.split("/");
      const family = isIP(base) === 6 ? "ipv6" : "ipv4";
      if (prefix === undefined) this.#proxies.addAddress(base, family);
      else this.#proxies.addSubnet(base, Number(prefix), family);
    }
    this.#secretHash = hash("sha256", settings.secret, "buffer");
    this.#header = settings.header.toLowerCase();
  }

  /**
   * The header of anyone who is no listed proxy says nothing, as if it were not there.
   * @returns `undefined` when no certificate was handed on; `"refused"` for a wrong proof, a repeated header or a value
   * that is not exactly one certificate
   */
  read(request: Pick<IncomingMessage, "socket" | "rawHeaders">): ForwardedCertificates | "refused" | undefined {
    if (!this.#isProxy(request.socket.remoteAddress)) return undefined;
    const values = valuesOf(request.rawHeaders, this.#header);
    const [value] = values;
    if (value === undefined) return undefined;
    const proofs = valuesOf(request.rawHeaders, proofHeader);
    if (values.length > 1 || proofs.length !== 1 || !this.#isSecret(proofs[0] ?? "")) return "refused";
    return (this.#header === envoyHeader ? readEnvoy(value) : readEscapedPem(value)) ?? "refused";
  }

  #isProxy(address: string | undefined): boolean {
    if (address === undefined) return false;
    // A link-local address names its interface behind it, which a block list does not read.
    const plain = address.replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*$/, "");
    return this.#proxies.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
  }

  #isSecret(proof: string): boolean {
    return timingSafeEqual(hash("sha256", proof, "buffer"), this.#secretHash);
  }
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}

const envoyPair = /^(By|Hash|Cert|Chain|Subject|URI|DNS)=("(?:[^"\\]|\\.)*"|[^",;]*)(;|$)/i;

/**
 * One element of X-Forwarded-Client-Cert: `Key=Value;Key="Value"`. A comma would begin a second one, which is that of
 * another proxy further out, or the client's own. Only `Cert` and `Chain` are looked at, and verified again.
 * https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
 */
function readEnvoy(value: string): ForwardedCertificates | undefined {
  const texts = new Map<string, string>();
  for (let rest = value; rest !== ""; ) {
    const [pair, key = "", text = ""] = envoyPair.exec(rest) ?? [];
    if (pair === undefined) return undefined;
    const name = key.toLowerCase();
    if ((name === "cert" || name === "chain") && texts.has(name)) return undefined;
    texts.set(name, text.replace(/^"(.*)"$/, "$1"));
    rest = rest.slice(pair.length);
  }
  const own = readEscapedPem(texts.get("cert") ?? "");
  const chain = texts.get("chain");
  if (own === undefined || chain === undefined) return own;
  const others = readPemBlocks(unescaped(chain), "CERTIFICATE");
  return others && { leaf: own.leaf, others };
}

/** nginx's `$ssl_client_escaped_cert`: one PEM certificate, percent-encoded. */
function readEscapedPem(value: string): ForwardedCertificates | undefined {
  const blocks = readPemBlocks(unescaped(value), "CERTIFICATE");
  const [leaf] = blocks ?? [];
  return leaf && blocks?.length === 1 ? { leaf, others: [] } : undefined;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
