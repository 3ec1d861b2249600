import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions, type Server } from "node:tls";
import { databaseNow } from "../core/database-clock.js";

/** Paths of PEM files: the certificate with its chain, and its private key. */
export type TlsFiles = { certFile: string; keyFile: string };

export type TlsCertificate = {
  /** The pair that new connections get now, with the oldest protocol that is spoken. */
  current(): { cert: string; key: string; minVersion: "TLSv1.2" };
  /**
   * Gives this server every later pair: connections that are made after that see it, those that are open stay.
   * @param options - what else its secure contexts are made of
   */
  keepUpToDate(server: Pick<Server, "setSecureContext">, options?: SecureContextOptions): void;
  /** Looks at the files now instead of at the next tick. */
  reload(): void;
  close(): void;
};

/** The files cannot be used. The message is a sentence for the operator; it quotes nothing that the files hold. */
export class TlsCertificateError extends Error {
  override readonly name = "TlsCertificateError";
}

type Pair = { cert: string; key: string };

const lookEveryMs = 2_000;

/**
 * Opens a certificate that is read again when its files change, whether they are written anew, renamed over or reached
 * by a symbolic link that now leads elsewhere: what is compared is what they hold. A pair that cannot be used, such as
 * one of which only half is there yet, leaves the old one in use.
 * @param input.onProblem - is told in a sentence what is wrong with the files, once for each thing
 * @throws TlsCertificateError when no pair is usable to begin with
 */
export function openTlsCertificate(input: {
  files: TlsFiles;
  onProblem: (sentence: string) => void;
  onReload: () => void;
  everyMs?: number;
}): TlsCertificate {
  const { files } = input;
  let pair = readPair(files);
  let certificate = checkPair(pair, files);
  let told: string | undefined;
  const servers: ((pair: Pair) => void)[] = [];
  const look = (): string | undefined => {
    try {
      const seen = readPair(files);
      if (seen.cert !== pair.cert || seen.key !== pair.key) {
        certificate = checkPair(seen, files);
        pair = seen;
        for (const give of servers) give(pair);
        input.onReload();
      }
      return validityProblem(certificate, files);
    } catch (error) {
      if (!(error instanceof TlsCertificateError)) throw error;
      return `${error.message} The certificate from before stays in use.`;
    }
  };
  const reload = (): void => {
    const problem = look();
    if (problem !== undefined && problem !== told) input.onProblem(problem);
    told = problem;
  };
  reload();
  const timer = setInterval(reload, input.everyMs ?? lookEveryMs).unref();
  return {
    current: () => ({ ...pair, minVersion: "TLSv1.2" }),
    keepUpToDate(server, options = {}) {
      servers.push((now) => server.setSecureContext({ ...options, ...now, minVersion: "TLSv1.2" }));
    },
    reload,
    close: () => clearInterval(timer),
  };
}

/** Each file as an operator knows it: by its path, and by the setting that names it. */
const called = ({ certFile, keyFile }: TlsFiles) => ({
  certFile: `${certFile} (FACTORY_SECRETS_TLS_CERT_FILE)`,
  keyFile: `${keyFile} (FACTORY_SECRETS_TLS_KEY_FILE)`,
});

function readPair(files: TlsFiles): Pair {
  const { certFile, keyFile } = called(files);
  return { cert: readText(files.certFile, certFile), key: readText(files.keyFile, keyFile) };
}

function readText(path: string, name: string): string {
  return orRefuse(() => readFileSync(path, "utf8"), `${name} cannot be read.`);
}

/** Sees that the two can be used together, and says of what cannot which file it is. */
function checkPair({ cert, key }: Pair, files: TlsFiles): X509Certificate {
  const { certFile, keyFile } = called(files);
  const certificate = orRefuse(() => new X509Certificate(cert), `${certFile} holds no certificate in PEM.`);
  const privateKey = orRefuse(
    () => createPrivateKey(key),
    `${keyFile} holds no private key in PEM that opens without a passphrase.`,
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TlsCertificateError(`The key in ${keyFile} is not that of the first certificate in ${certFile}.`);
  }
  // What is left: a chain that is cut off, a key that is too short for OpenSSL.
  orRefuse(
    () => createSecureContext({ cert, key, minVersion: "TLSv1.2" }),
    `${certFile} and ${keyFile} cannot be used for TLS: the chain is cut off, or the key is too short.`,
  );
  return certificate;
}

function orRefuse<T>(make: () => T, sentence: string): T {
  try {
    return make();
  } catch (cause) {
    throw new TlsCertificateError(sentence, { cause });
  }
}

function validityProblem({ validFrom, validTo }: X509Certificate, files: TlsFiles): string | undefined {
  const { certFile } = called(files);
  const now = databaseNow().getTime();
  if (Date.parse(validTo) <= now) return `The certificate in ${certFile} expired at ${asIso(validTo)}.`;
  if (Date.parse(validFrom) > now) return `The certificate in ${certFile} is not valid before ${asIso(validFrom)}.`;
  return undefined;
}

const asIso = (text: string): string => new Date(text).toISOString();
