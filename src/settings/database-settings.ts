import type { Reader } from "./reader.js";
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
      mistake(`${name} is no URL. Write special characters of the password as percent and two digits: / as %2F.`);
  }
  if (url !== undefined) return { kind: "external", url, directUrl: directUrl ?? url };
  if (directUrl !== undefined) mistake("DATABASE_DIRECT_URL is set without DATABASE_URL.");
  return { kind: "embedded", dataDirectory: text("FACTORY_SECRETS_DATA_DIR") ?? ".factory-secrets" };
}
