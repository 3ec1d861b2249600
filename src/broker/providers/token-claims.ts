import { z } from "zod";

const access = z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) }));
const claims = z.object({ exp: z.number().positive().optional(), access: access.nullish() });

/** What a registry's token says about itself. `undefined` fields: it does not say. */
export type TokenClaims = { expiresAt?: Date; access?: z.output<typeof access> };

/**
 * Reads the claims of a registry token without verifying it: the registry's key is not ours to know, and the token came
 * from the registry itself over TLS. An opaque token gives no claims.
 */
export function readTokenClaims(token: string): TokenClaims {
  const payload = token.split(".").length === 3 ? token.split(".")[1] : undefined;
  const parsed = claims.safeParse(parseSegment(payload));
  if (!parsed.success) return {};
  return {
    ...(parsed.data.exp === undefined ? {} : { expiresAt: new Date(parsed.data.exp * 1_000) }),
    ...(parsed.data.access == null ? {} : { access: parsed.data.access }),
  };
}

export type GrantedAccess =
  /** It does not say, so the registry is believed to have done as asked. */
  | { kind: "unknown" }
  /** Those of the wanted repositories that may be pulled, and whether anything else was granted beside. */
  | { kind: "known"; granted: readonly string[]; isBroader: boolean };

/** Compares what was granted with what was wanted: being granted less is no error in the token protocol. */
export function compareAccess(claimsOfToken: TokenClaims, wanted: readonly string[]): GrantedAccess {
  if (claimsOfToken.access === undefined) return { kind: "unknown" };
  const wantedNames = new Set(wanted);
  const pullable = new Set<string>();
  let isBroader = false;
  for (const { type, name, actions } of claimsOfToken.access) {
    const isWanted = type === "repository" && wantedNames.has(name);
    if (isWanted && (actions.includes("pull") || actions.includes("*"))) pullable.add(name);
    if (actions.length > 0 && (!isWanted || actions.some((action) => action !== "pull"))) isBroader = true;
  }
  return { kind: "known", granted: wanted.filter((name) => pullable.has(name)), isBroader };
}

function parseSegment(segment: string | undefined): unknown {
  if (segment === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(segment, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
