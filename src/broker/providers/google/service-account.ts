import { createPrivateKey } from "node:crypto";
import { z } from "zod";
import type { FormatResult } from "../../secret-formats/check-credential-text.js";
import { readCredential } from "../../secret-formats/damaged-value.js";

/** The parts of a service account's key file that are used. */
export type GoogleServiceAccount = { clientEmail: string; privateKey: string };

// Key files name one of these, depending on their age. Whichever it is, only the first is ever called.
const tokenUris: ReadonlySet<string> = new Set([
  "https://oauth2.googleapis.com/token",
  "https://accounts.google.com/o/oauth2/token",
  "https://www.googleapis.com/oauth2/v4/token",
]);

// What another form than text says is not known, so it is not taken for absence.
const OptionalText = z
  .string()
  .nullish()
  .transform((text) => text || undefined);

const keyFile = z.object({
  type: z.string(),
  client_email: z.string().regex(/^[^\s@]+@[^\s@]+$/),
  private_key: z.string(),
  token_uri: OptionalText,
  universe_domain: OptionalText,
});

/**
 * Reads a service account's key file. Other kinds of Google credential files (`external_account`, `authorized_user`, ...)
 * can name programs, files and hosts of their own: only `type: service_account` is taken, and its token URI is pinned.
 */
export function parseGoogleServiceAccount(text: string): FormatResult<GoogleServiceAccount> {
  return readCredential("gar", text, parseKeyFile);
}

function parseKeyFile(text: string): FormatResult<GoogleServiceAccount> {
  const parsed = keyFile.safeParse(parseJson(text));
  if (!parsed.success) {
    return mistake("It is not the JSON key file of a service account, with type, client_email and private_key.");
  }
  const { type, client_email, private_key, token_uri, universe_domain } = parsed.data;
  if (type !== "service_account") return mistake('Its type is not "service_account"; no other kind is used.');
  if (token_uri !== undefined && !tokenUris.has(token_uri)) {
    return mistake("Its token_uri is not Google's (https://oauth2.googleapis.com/token).");
  }
  if (universe_domain !== undefined && universe_domain !== "googleapis.com") {
    return mistake("Its universe_domain is not googleapis.com; other Google clouds are not supported.");
  }
  if (!isRsaKey(private_key)) return mistake(whatKeyIs(private_key));
  return { ok: true, value: { clientEmail: client_email, privateKey: private_key } };
}

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === "rsa";
  } catch {
    return false;
  }
}

function whatKeyIs(pem: string): string {
  const asDownloaded = "Store the key file as it was downloaded: fioctl secrets update NAME==FILE";
  if (pem.includes("ENCRYPTED")) return "Its private_key is encrypted with a passphrase, and Google gives none so.";
  if (!/-----END [A-Z ]*PRIVATE KEY-----\s*$/.test(pem))
    return `Its private_key is cut off: no END line. ${asDownloaded}`;
  if (!pem.trim().includes("\n")) return `Its private_key has lost its line ends. ${asDownloaded}`;
  return "Its private_key is not an RSA key in PEM form.";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The parser's message quotes its input, so it goes nowhere.
  }
}

function mistake(sentence: string): { ok: false; mistakes: readonly string[] } {
  return { ok: false, mistakes: [sentence] };
}
