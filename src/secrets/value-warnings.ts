import type { Plaintext } from "../crypto/plaintext.js";

/** Something about a value that was accepted and looks like a mistake. Never quotes the value. */
export type SecretWarning = { code: string; message: string };

/** `text` has one character for each byte of the value, which need not be UTF-8. */
type Lint = SecretWarning & { isFoundIn(text: string): boolean };

const replacementCharacter = Buffer.from("\u{FFFD}", "utf8").toString("latin1");

// A key in PEM, a section of an INI file, a key file in JSON: where a carriage return is no part of the value.
const keyFile = /^-----BEGIN |^\[[^\]\r\n]+\]\r?$|"private_key"\s*:/m;

// A user's own login at Google; GitHub's personal access tokens, classic and fine-grained, and a user's OAuth token;
// Docker Hub's personal access token. Tokens of machines have prefixes of their own (`ghs_`, `dckr_oat_`).
const personal =
  /"type"\s*:\s*"authorized_user"|(?:^|[:\s"])(?:gh[po]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{36}|dckr_pat_[A-Za-z0-9_-]{20})/;

/** What any value can have wrong with it, whoever uses it. */
const lints: readonly Lint[] = [
  {
    // fioctl turns bytes that are no UTF-8 into U+FFFD before it sends them.
    code: "replacement-character",
    message:
      "The value holds U+FFFD, which stands for bytes that were no UTF-8: it is probably a damaged binary file. Send such a file as valueBase64.",
    isFoundIn: (text) => text.includes(replacementCharacter),
  },
  {
    code: "crlf",
    message: "The value looks like a key file with Windows line ends, which many programs refuse. Convert it: dos2unix",
    isFoundIn: (text) => text.includes("\r\n") && keyFile.test(text),
  },
  {
    code: "double-base64",
    message: "The value is base64 of base64: it was probably encoded once too often.",
    isFoundIn: (text) => isBase64(text) && isBase64(Buffer.from(text, "base64").toString("latin1")),
  },
  {
    code: "quoted",
    message: "The value is in quotes, which are now part of it. They probably came from the shell or a YAML file.",
    isFoundIn: isQuoted,
  },
  {
    code: "unexpanded",
    message:
      "The value holds a command that no shell has run, such as $(cat FILE). Use double quotes, or fioctl's NAME==FILE.",
    isFoundIn: (text) => /\$\((?:cat\b|<)|`cat\b|^\s*\$\{?[A-Za-z_]\w*\}?\s*$/.test(text),
  },
  {
    code: "passphrase",
    message: "The private key needs a passphrase, and nothing can type it here. Store it without one.",
    isFoundIn: hasPassphrase,
  },
  {
    code: "personal-credential",
    message:
      "This looks like the credential of a person, which ends when that person leaves and reaches all that they do. Use one made for machines.",
    isFoundIn: (text) => personal.test(text),
  },
];

/** Looks for damage and slips that any value can have. */
export function valueWarnings(value: Plaintext): SecretWarning[] {
  const text = value.revealBytes().toString("latin1");
  return lints.filter(({ isFoundIn }) => isFoundIn(text)).map(({ code, message }) => ({ code, message }));
}

/** What is wrong with the note of when a credential ends. */
export function expiryWarnings(expiresAt: string | undefined, now: Date): SecretWarning[] {
  if (expiresAt === undefined || new Date(expiresAt) > now) return [];
  return [{ code: "expired", message: "By its expiresAt this credential has ended already." }];
}

function isQuoted(text: string): boolean {
  const trimmed = text.trim();
  const [first] = trimmed;
  return trimmed.length > 1 && (first === '"' || first === "'") && trimmed.endsWith(first);
}

// Shorter ones are base64 by chance: four letters are.
const minBase64 = 16;

function isBase64(text: string): boolean {
  const packed = text.replace(/[\r\n]+/g, "");
  return packed.length >= minBase64 && packed.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(packed);
}

/**
 * RFC 5958 and RFC 1421 say so in their first lines; OpenSSH's own format names its key derivation at the beginning of
 * the bytes (openssh-portable, PROTOCOL.key).
 */
function hasPassphrase(text: string): boolean {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) return true;
  const openSsh = /-----BEGIN OPENSSH PRIVATE KEY-----\s+([A-Za-z0-9+/]{60})/.exec(text)?.[1];
  return openSsh !== undefined && Buffer.from(openSsh, "base64").includes("bcrypt");
}
