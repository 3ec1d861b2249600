import { z } from "zod";
import { parseForeignJson } from "../../outbound/foreign-json.js";

// Go writes an empty list as `null`: registries that are written in it say so that nothing is allowed.
const Actions = z.array(z.string()).nullable();
const Entry = z.looseObject({ type: z.string(), name: z.string(), actions: Actions }).refine(isUnambiguous);
const Payload = z.record(z.string(), z.unknown());
const Expiry = z.number().positive();

// A member in another case stands for the same one where names are matched in any case, and the last of them counts.
function isUnambiguous(entry: Readonly<Record<string, unknown>>): boolean {
  const names = Object.keys(entry).map((name) => name.toLowerCase());
  return new Set(names).size === names.length;
}

/** One entry of an `access` claim (distribution spec, auth/jwt). */
export type AccessEntry = { type: string; name: string; actions: readonly string[] };

/** What a token says that it was granted. An entry that cannot be read may stand for anything. */
export type TokenAccess = { entries: readonly AccessEntry[]; hasUnreadable: boolean };

/** What a registry's token says about itself. `undefined` members: it does not say. */
export type TokenClaims = { expiresAtMs?: number; access?: TokenAccess };

/**
 * Reads the claims of a registry token without verifying it: the registry's key is not ours to know, and the token came
 * from the registry itself over TLS. An opaque token gives no claims. Each claim is read by itself, so that one that
 * cannot be read hides no other.
 */
export function readTokenClaims(token: string): TokenClaims {
  const parts = token.split(".");
  const payload = Payload.safeParse(parts.length === 3 ? parsePart(parts[1]) : undefined);
  if (!payload.success) return {};
  // Registries in Go match the names of members in any case, so a token can say it in any.
  const inAnyCase = (wanted: string) => Object.entries(payload.data).filter(([name]) => name.toLowerCase() === wanted);
  const access = inAnyCase("access");
  const ends = inAnyCase("exp").flatMap(([, value]) => Expiry.safeParse(value).data ?? []);
  return {
    ...(ends.length > 0 && { expiresAtMs: Math.max(...ends) * 1_000 }),
    ...(access.length > 0 && { access: readAccess(access.map(([, value]) => value)) }),
  };
}

function readAccess(claims: readonly unknown[]): TokenAccess {
  const [claim] = claims;
  if (claims.length === 1 && claim === null) return { entries: [], hasUnreadable: false };
  if (claims.length !== 1 || !Array.isArray(claim)) return { entries: [], hasUnreadable: true };
  const read = claim.map((entry: unknown) => Entry.safeParse(entry));
  return {
    entries: read.flatMap(({ data }) =>
      data ? [{ type: data.type, name: data.name, actions: data.actions ?? [] }] : [],
    ),
    hasUnreadable: read.some(({ success }) => !success),
  };
}

export type GrantedAccess =
  /** It does not say, so the registry is believed to have done as asked. */
  | { kind: "unknown" }
  /** The wanted repositories that it may not pull, and whether anything else was granted, or may have been. */
  | { kind: "known"; missing: readonly string[]; isBroader: boolean };

/** Compares what was granted with what was wanted: a registry may grant less, and some grant more. */
export function compareAccess({ access }: TokenClaims, wanted: readonly string[]): GrantedAccess {
  if (access === undefined) return { kind: "unknown" };
  const wantedNames = new Set(wanted);
  const pullable = new Set<string>();
  let isBroader = access.hasUnreadable;
  for (const { type, name, actions } of access.entries) {
    const isWanted = type === "repository" && wantedNames.has(name);
    if (isWanted && (actions.includes("pull") || actions.includes("*"))) pullable.add(name);
    if (actions.length > 0 && (!isWanted || actions.some((action) => action !== "pull"))) isBroader = true;
  }
  return { kind: "known", missing: wanted.filter((name) => !pullable.has(name)), isBroader };
}

function parsePart(part: string | undefined): unknown {
  return part === undefined ? undefined : parseForeignJson(Buffer.from(part, "base64url"));
}
