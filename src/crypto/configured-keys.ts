import type { Outbound } from "../outbound/outbound.js";
import type { KeyEncryptionKey } from "./key-encryption-key.js";
import type { KeyUri } from "./key-uri.js";
import { parseKey, readKeyFile } from "./read-key.js";
import { awsKmsKey } from "./sources/aws-kms.js";
import { type TransitToken, transitKey } from "./sources/transit.js";

/** A key of the settings: where it is, and for `env:` what was there. */
export type ConfiguredKey =
  | { uri: Exclude<KeyUri, { kind: "env" }> }
  | { uri: Extract<KeyUri, { kind: "env" }>; text: string };

export type KeySourceDeps = { outbound: Pick<Outbound, "request">; transitToken: TransitToken | undefined };

/**
 * Makes ready the keys that the settings list. Nothing is called yet.
 * @throws KeyFormatError when a file or a variable holds no key
 */
export function configuredKeys(
  keys: readonly ConfiguredKey[],
  { outbound, transitToken }: KeySourceDeps,
): Promise<KeyEncryptionKey[]> {
  return Promise.all(
    keys.map(async (key): Promise<KeyEncryptionKey> => {
      const { uri } = key;
      switch (uri.kind) {
        case "file":
          return readKeyFile(uri.text, uri.path);
        case "env":
          return parseKey(uri.text, uri.name, "text" in key ? key.text : "");
        case "awskms":
          return awsKmsKey(uri, { outbound });
        case "transit":
          return transitKey(uri, { outbound, token: transitToken });
        default:
          return uri satisfies never;
      }
    }),
  );
}
