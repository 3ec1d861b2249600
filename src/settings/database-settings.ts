import { accessSync, constants } from "node:fs";
import { parseKeyUri } from "../crypto/key-uri.js";
import type { ConfiguredKey } from "../crypto/open-key-ring.js";
import type { TransitToken } from "../crypto/sources/transit.js";
import { type Environment, listOf, type Reader } from "./reader.js";
import type { Settings } from "./settings.js";

/** Which Postgres to use: the one of the URL, or the service's own. */
export function databaseSettings({ text, mistake }: Reader): Settings["database"] {
  const url = text("DATABASE_URL");
  const directUrl = text("DATABASE_DIRECT_URL");
  for (const [name, value] of [
    ["DATABASE_URL", url],
    ["DATABASE_DIRECT_URL", directUrl],
  ] as const) {
    // The URL holds a password, so the sentence does not.
    if (value !== undefined && !/^postgres(ql)?:\/\//.test(value)) mistake(`${name} must begin with postgresql://`);
    else if (value !== undefined && !URL.canParse(value))
      mistake(`${name} is not a URL. Write special characters of the password as percent and two digits: / as %2F.`);
    else if (value !== undefined) checkFiles(name, new URL(value), mistake);
  }
  if (url !== undefined) return { kind: "external", url, directUrl: directUrl ?? url };
  if (directUrl !== undefined) mistake("DATABASE_DIRECT_URL is set without DATABASE_URL.");
  return { kind: "embedded", dataDirectory: text("FACTORY_SECRETS_DATA_DIR") ?? ".factory-secrets" };
}

/** Files that the URL names for TLS. The driver reads them at each connection, and says nothing of what they were for. */
function checkFiles(name: string, { searchParams }: URL, mistake: Reader["mistake"]): void {
  for (const option of ["sslrootcert", "sslcert", "sslkey"]) {
    const path = searchParams.get(option);
    if (path !== null && !isReadable(path)) mistake(`${name}: ${option} names a file that cannot be read: ${path}`);
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

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
  // The token itself is read again for each call: anyone who keeps the file renews it.
  if (path !== undefined) return { kind: "file", path };
  if (/^[\x21-\x7e]+$/.test(text)) return { kind: "text", text };
  reader.mistake("FACTORY_SECRETS_TRANSIT_TOKEN holds characters that no token has.");
  return undefined;
}
