import { X509Certificate } from "node:crypto";

const pemBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/**
 * Reads the contents of `FACTORY_SECRETS_CA_FILE`: one or more PEM certificates.
 * Every mistake is a sentence; certificates without one are in `certificates`, PEM.
 */
export function parseCaCertificates(text: string): { certificates: string[]; mistakes: string[] } {
  const certificates: string[] = [];
  const mistakes: string[] = [];
  const blocks = text.match(pemBlock) ?? [];
  if (blocks.length === 0) mistakes.push("It holds no PEM certificate (-----BEGIN CERTIFICATE-----).");
  for (const [index, block] of blocks.entries()) {
    if (isCertificate(block)) certificates.push(block);
    else mistakes.push(`Certificate ${index + 1} in it cannot be read.`);
  }
  return { certificates, mistakes };
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
