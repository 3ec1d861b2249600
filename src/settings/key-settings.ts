import type { ConfiguredKey } from "../crypto/configured-keys.js";
import { parseKeyUri } from "../crypto/key-uri.js";
import type { TransitToken } from "../crypto/sources/transit.js";
import { type Environment, listOf, type Reader } from "./reader.js";

const keysName = "FACTORY_SECRETS_KEYS";

/** The keys of FACTORY_SECRETS_KEYS, in their order, and what opens Transit. */
export function keySettings(
  reader: Reader,
  environment: Environment,
): { keys: readonly ConfiguredKey[]; transitToken: TransitToken | undefined } {
  const keys = listOf(reader.text(keysName)).flatMap((text) => configuredKey(text, environment, reader.mistake));
  return { keys, transitToken: transitToken(reader) };
}

function configuredKey(text: string, environment: Environment, mistake: Reader["mistake"]): ConfiguredKey[] {
  const parsed = parseKeyUri(text);
  if ("mistake" in parsed) {
    mistake(`${keysName}: ${parsed.mistake}`);
    return [];
  }
  const { uri } = parsed;
  if (uri.kind !== "env") return [{ uri }];
  const value = environment[uri.name];
  if (!value) mistake(`${keysName}: ${uri.text} names a variable that is not set.`);
  return value ? [{ uri, text: value }] : [];
}

function transitToken(reader: Reader): TransitToken | undefined {
  const text = reader.text("FACTORY_SECRETS_TRANSIT_TOKEN");
  if (text === undefined) return undefined;
  const path = reader.pathOf("FACTORY_SECRETS_TRANSIT_TOKEN");
  // The token itself is read again for each call: whoever keeps the file renews it.
  if (path !== undefined) return { kind: "file", path };
  if (/^[\x21-\x7e]+$/.test(text)) return { kind: "text", text };
  reader.mistake("FACTORY_SECRETS_TRANSIT_TOKEN holds characters that no token has.");
  return undefined;
}
