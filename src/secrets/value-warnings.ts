import type { Plaintext } from "../crypto/plaintext.js";

/** Something about a value that was accepted and looks like a mistake. Never quotes the value. */
export type SecretWarning = { code: string; message: string };

const replacementCharacter = Buffer.from("\u{FFFD}", "utf8");

/**
 * Looks for damage that any value can have. fioctl turns bytes that are no UTF-8 into U+FFFD before it sends them,
 * so a value that holds one was probably a binary file.
 */
export function valueWarnings(value: Plaintext): SecretWarning[] {
  if (!value.revealBytes().includes(replacementCharacter)) return [];
  return [
    {
      code: "replacement-character",
      message:
        "The value holds U+FFFD, which stands for bytes that were no UTF-8: it is probably a damaged binary file. Send such a file as valueBase64.",
    },
  ];
}
