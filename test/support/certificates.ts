import { randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;
const serverAuth = "1.3.6.1.5.5.7.3.1";

/** A certificate and its private key, PEM, as `node:tls` takes them. */
export type ServerCertificate = { cert: string; key: string };

export type TestCertificateAuthority = {
  /** The root certificate: what a client has to trust. */
  caPem: string;
  /** Issues a server certificate for host names and IP addresses; `*.example.test` covers one label. */
  issue(hostnames: readonly string[], validity?: { notAfter: Date }): Promise<ServerCertificate>;
};

/** A throw-away certificate authority (EC P-256). Its key lives in this process only; everything expires after a day. */
export async function createTestCertificateAuthority(): Promise<TestCertificateAuthority> {
  x509.cryptoProvider.set(webcrypto);
  const caKeys = await generateKeys();
  const caName = `CN=Test CA ${randomBytes(4).toString("hex")}`;
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: caName,
    serialNumber: serialNumber(),
    ...validity(),
    signingAlgorithm: algorithm,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });

  async function issue(
    hostnames: readonly string[],
    { notAfter }: { notAfter?: Date } = {},
  ): Promise<ServerCertificate> {
    const keys = await generateKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      // The subject stays short (a common name holds 64 characters at most); clients look at the alternative names.
      subject: "CN=test server",
      issuer: caName,
      serialNumber: serialNumber(),
      ...validity(),
      ...(notAfter && { notAfter }),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          hostnames.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
        ),
        await x509.AuthorityKeyIdentifierExtension.create(ca),
      ],
    });
    return { cert: certificate.toString("pem"), key: await privateKeyPem(keys.privateKey) };
  }

  return { caPem: ca.toString("pem"), issue };
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

// The first digit keeps the DER integer positive and of full length.
function serialNumber(): string {
  return `4${randomBytes(8).toString("hex").slice(1)}`;
}

function validity(): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - 60_000), notAfter: new Date(now + dayMs) };
}
