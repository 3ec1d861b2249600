import { hash } from "node:crypto";
import type { Socket } from "node:net";
import { type DetailedPeerCertificate, TLSSocket } from "node:tls";
import type { ForwardedCertificates } from "./forwarded-certificate.js";

/** More than any device needs to show its way up to a root. What exceeds it is not looked at. */
export const maxPresented = 8;

/**
 * What the client of this connection has shown in its TLS handshake, whatever it is worth: the handshake proves that it
 * has the private key of the first certificate, and nothing else. Node looks up issuers in its own store too, so some
 * of the others may not have come from the client.
 * @returns `undefined` when this is no TLS, or no certificate was shown
 */
export function certificatesOfSocket(socket: Socket): ForwardedCertificates | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const seen = new Set<DetailedPeerCertificate>();
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // An empty object stands for none. A root links to itself.
  while (next?.raw !== undefined && !seen.has(next) && seen.size <= maxPresented) {
    seen.add(next);
    next = next.issuerCertificate;
  }
  const [leaf, ...others] = [...seen].map(({ raw }) => raw);
  return leaf && { leaf, others };
}

/**
 * SHA-256 of the first certificate, hexadecimal. Costs a hash, where `certificatesOfSocket` parses all of them.
 * @returns `undefined` when this is no TLS, or no certificate was shown
 */
export function fingerprintOfSocket(socket: Socket): string | undefined {
  const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return shown && hash("sha256", shown.raw);
}
