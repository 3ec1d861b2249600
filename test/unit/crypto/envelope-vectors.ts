import { readFileSync } from "node:fs";
import { z } from "zod";

const Hex = z
  .string()
  .regex(/^([0-9a-f]{2})+$/)
  .transform((text) => Buffer.from(text, "hex"));

const Vectors = z.strictObject({
  keyEncryptionKey: z.strictObject({ key: Hex, id: z.string(), checkValue: Hex }),
  factoryId: z.uuid(),
  dataKeys: z
    .array(
      z.strictObject({
        purpose: z.enum(["secret", "fingerprint"]),
        id: z.uuid(),
        key: Hex,
        nonce: Hex,
        associatedData: Hex,
        wrapped: Hex,
      }),
    )
    .length(2),
  signingKey: z.strictObject({
    purpose: z.string(),
    id: z.string(),
    alg: z.string(),
    key: Hex,
    nonce: Hex,
    associatedData: Hex,
    wrapped: Hex,
  }),
  secretId: z.uuid(),
  secrets: z
    .array(
      z.strictObject({
        what: z.string(),
        version: z.int(),
        value: Hex,
        nonce: Hex,
        associatedData: Hex,
        sealed: Hex,
        fingerprint: Hex,
      }),
    )
    .min(1),
});

const path = new URL("../../fixtures/envelope-vectors.json", import.meta.url);

/** The committed test vectors as their text: docs/envelope.md quotes it. */
export const vectorsText = readFileSync(path, "utf8");

/** The same, parsed; everything in hex is bytes here. */
export const vectors = Vectors.parse(JSON.parse(vectorsText));

/** The data key of one purpose, as the vectors have it. */
export function dataKeyOf(purpose: "secret" | "fingerprint") {
  const key = vectors.dataKeys.find((one) => one.purpose === purpose);
  if (!key) throw new Error(`the vectors have no data key for ${purpose}`);
  return key;
}
