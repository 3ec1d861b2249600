// Nothing in it can be read in two ways: with blanks on both sides of a body that may hold blanks too, the time would
// grow with the third power of the text.
const block = /-----BEGIN ([A-Z0-9 ]+)-----(\s[A-Za-z0-9+/=\s]+)-----END \1-----/g;

/**
 * The DER bytes of the PEM blocks in a text (RFC 7468), in their order.
 * @returns `undefined` when there is none, or anything else in the text: another kind of block, or what is no PEM
 */
export function readPemBlocks(text: string, label: "CERTIFICATE" | "X509 CRL"): Buffer[] | undefined {
  const blocks = [...text.matchAll(block)];
  if (blocks.length === 0 || text.replace(block, "").trim() !== "") return undefined;
  const read = blocks.map(([, found, body]) => (found === label ? strictBase64(body ?? "") : undefined));
  return read.every((bytes) => bytes !== undefined) ? read : undefined;
}

/** Base64 with line breaks, and nothing that a lenient reader would skip. */
export function strictBase64(text: string): Buffer | undefined {
  const packed = text.replace(/\s+/g, "");
  const bytes = Buffer.from(packed, "base64");
  return bytes.length > 0 && bytes.toString("base64") === packed ? bytes : undefined;
}
