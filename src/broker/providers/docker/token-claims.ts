import { z } from "zod";
import { Problem } from "../../../core/problem.js";
import { isUnambiguousJson } from "../../../core/unambiguous-json.js";
import { parseForeignJson, replyText } from "../../../outbound/foreign-json.js";
import type { StatedEnd } from "../token-life.js";

// Go writes an empty list as `null`: registries that are written in it say so that nothing is allowed.
const Actions = z.array(z.string()).nullable();
const Entry = z.object({ type: z.string(), name: z.string(), actions: Actions });
const Members = z.record(z.string(), z.unknown());
const Expiry = z.number().positive();

/** One entry of an `access` claim (distribution spec, auth/jwt). */
export type AccessEntry = { type: string; name: string; actions: readonly string[] };

/** What a token says that it was granted. An entry that cannot be read may stand for anything. */
export type TokenAccess = { entries: readonly AccessEntry[]; hasUnreadable: boolean };

/** What a registry's token says about itself. `undefined` members: it does not say. */
export type TokenClaims = { expiresAtMs?: StatedEnd; access?: TokenAccess };

/**
 * Reads the claims of a registry token without verifying it: the registry's key is not ours to know, and the token came
 * from the registry itself over TLS. An opaque token gives no claims. Each claim is read by itself, so that one that
 * cannot be read hides no other. In a payload in which a member appears twice, readers differ about which counts: no
 * claim of it is readable.
 */
export function readTokenClaims(token: string): TokenClaims {
  const parts = token.split(".");
  const text = parts.length === 3 ? replyText(Buffer.from(parts[1] ?? "", "base64url")) : "";
  const payload = Members.safeParse(parseForeignJson(text));
  if (!payload.success) return {};
  const isUnambiguous = isUnambiguousJson(text);
  const claims = bySpelling(payload.data);
  const expiry = claims.get("EXP");
  const access = claims.get("ACCESS");
  return {
    ...(expiry && { expiresAtMs: isUnambiguous ? readExpiry(expiry) : "unreadable" }),
    ...(access && { access: isUnambiguous ? readAccess(access) : { entries: [], hasUnreadable: true } }),
  };
}

/**
 * The values of each member, however its name is spelled. Registries in Go match names in any case, and take two
 * letters outside ASCII for S and K (encoding/json, `foldName`).
 */
function bySpelling(members: Record<string, unknown>): Map<string, unknown[]> {
  const found = new Map<string, unknown[]>();
  for (const [name, value] of Object.entries(members)) {
    const folded = name.toLowerCase().toUpperCase();
    found.set(folded, [...(found.get(folded) ?? []), value]);
  }
  return found;
}

function readExpiry(claims: readonly unknown[]): StatedEnd {
  const [claim] = claims;
  if (claims.length === 1 && claim === null) return undefined;
  const expiry = Expiry.safeParse(claim);
  return claims.length === 1 && expiry.success ? expiry.data * 1_000 : "unreadable";
}

function readAccess(claims: readonly unknown[]): TokenAccess {
  const [claim] = claims;
  if (claims.length === 1 && claim === null) return { entries: [], hasUnreadable: false };
  if (claims.length !== 1 || !Array.isArray(claim)) return { entries: [], hasUnreadable: true };
  const read = claim.map(readEntry);
  return { entries: read.flatMap((entry) => entry ?? []), hasUnreadable: read.includes(undefined) };
}

function readEntry(entry: unknown): AccessEntry | undefined {
  const members = Members.safeParse(entry);
  if (!members.success) return undefined;
  const spelled = bySpelling(members.data);
  const [type = [], name = [], actions = []] = ["TYPE", "NAME", "ACTIONS"].map((member) => spelled.get(member));
  if (type.length > 1 || name.length > 1 || actions.length > 1) return undefined;
  const read = Entry.safeParse({ type: type[0], name: name[0], actions: actions[0] });
  return read.success ? { ...read.data, actions: read.data.actions ?? [] } : undefined;
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

/** What a minted token is limited to, as the reply says it. */
export type MintedScope =
  | { scopeEnforcedBy: "registry"; scopeVerified: boolean; repositories: readonly string[] }
  | { scopeEnforcedBy: "iam-session-policy"; repositories: readonly string[] }
  | { scopeEnforcedBy: "none" };

const wayOut = ' Or ask with "allowBroader": true for a token that reaches all that the credential can.';

/** The demand cannot be held to. `reason` says why and what to change; the way out with `allowBroader` is added. */
export function scopeNotEnforceable(reason: string): Problem {
  return new Problem("scope-not-enforceable", `${reason}${wayOut}`);
}

/** The same for what is handed out narrowed or not at all: there is no `allowBroader` for it. */
export function withoutWayOut(error: unknown): unknown {
  if (!(error instanceof Problem) || error.code !== "scope-not-enforceable") return error;
  return new Problem(error.code, error.detail.replace(wayOut, ""), { cause: error });
}

/**
 * Decides what a registry's own token is limited to, from what it says that it was granted: exactly the pull that was
 * asked for. A token that says nothing is taken as asked, and marked as not verified.
 * @throws Problem `scope-not-enforceable` when the registry granted less, or when it granted more, or what cannot be read,
 * and the caller does not allow that
 */
export function scopeGranted(
  request: { allowBroader: boolean },
  registry: string,
  wanted: readonly string[],
  claims: TokenClaims,
): MintedScope {
  const access = compareAccess(claims, wanted);
  if (access.kind === "unknown") {
    return { scopeEnforcedBy: "registry", scopeVerified: false, repositories: wanted };
  }
  if (access.missing.length > 0) {
    // A token with more rights is no way out of this.
    throw new Problem(
      "scope-not-enforceable",
      `${registry} did not grant the pull of ${listed(access.missing)}. Check the names and the principal's rights.`,
    );
  }
  if (!access.isBroader) return { scopeEnforcedBy: "registry", scopeVerified: true, repositories: wanted };
  if (request.allowBroader) return { scopeEnforcedBy: "none" };
  throw scopeNotEnforceable(
    `${registry} granted more than the pull that was asked for, or something that cannot be read.`,
  );
}

const maxListed = 5;

function listed(names: readonly string[]): string {
  const more = names.length > maxListed ? ` and ${names.length - maxListed} more` : "";
  return `${names.slice(0, maxListed).join(", ")}${more}`;
}
