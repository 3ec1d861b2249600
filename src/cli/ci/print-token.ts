import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { withAuths } from "./docker-config/auth-entries.js";
import { formatConfig } from "./docker-config/config-file.js";
import type { RegistryToken } from "./registry-token.js";

/** How `ci token` prints a token. */
export const tokenFormats = ["secret", "json", "docker-config"] as const;

export type TokenFormat = (typeof tokenFormats)[number];

/** One token as text. @throws CommandFailure when there are several, or none */
export function printToken(tokens: readonly RegistryToken[], format: TokenFormat): string {
  const [token, ...more] = tokens;
  if (!token || more.length > 0) {
    const hosts = tokens.map(({ registry }) => registry).join(", ");
    throw new CommandFailure(
      exitCodes.usage,
      `--registry names ${tokens.length} registries (${hosts}) and one token is printed. Name one host.`,
    );
  }
  switch (format) {
    case "secret":
      return token.kind === "bearer" ? token.bearer : token.password;
    case "json":
      return JSON.stringify(token);
    case "docker-config":
      return formatConfig(withAuths({}, [token])).trimEnd();
    default:
      return format satisfies never;
  }
}
