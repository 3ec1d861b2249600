import type { IncomingMessage } from "node:http";
import { type RequestedBy, requestedBy } from "../audit/record.js";
import type { Caller } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { WireRequest } from "../http/wire.js";
import type { Callers } from "../identity/callers.js";
import { CredentialRefused, invalidCredential } from "../identity/invalid-credential.js";
import type { Holder, RelayTokens } from "./relay-tokens.js";

export type CallerDeps = {
  callers: Callers;
  relayTokens: RelayTokens;
  /** Opens a session for an ID token, as the exchange at `/oauth/token` does. @throws as that does */
  openSession(input: { token: string; factory: string; requested: RequestedBy }): Promise<{ credentialId: string }>;
};

/** A token as a request presents it, and the user name beside it. */
export type Presented = { token: string; user?: string };

/** Who asks, what a token for them names, and the names that the token they came with is limited to. */
export type Asker = { caller: Caller; holder: Holder | undefined; names: ReadonlySet<string> | undefined };

/** The permission that pulls an image, by a token of its registry or through the relay. */
const permission = "registry-tokens:issue";

/**
 * Who pulls: by a token of the relay, by any token that `/v1` takes, as `Bearer` or as the password of Basic, or by a
 * device's certificate.
 * @param factory - whose rules judge an ID token; `undefined` where the path says none
 * @returns `undefined` when no credential is there
 * @throws Problem `unauthenticated`
 */
export async function authenticatePull(
  deps: CallerDeps,
  asked: WireRequest,
  factory: string | undefined,
): Promise<Asker | undefined> {
  const presented = presentedBy(asked.request);
  if (presented === undefined) return ofCertificate(deps, asked.request);
  const { token, user } = presented;
  if (deps.relayTokens.isOurs(token)) return ofRelayToken(deps, asked, token);
  const judgedFor = factory ?? user;
  // Without a factory there is no one to judge an ID token; with the challenge its client asks for a token of ours.
  if (judgedFor === undefined && deps.callers.isForeign(token)) return undefined;
  const caller = await ofToken(deps, token, () => deps.callers.withToken(token, judgedFor, requestedBy(asked.facts)));
  return { caller, holder: undefined, names: undefined };
}

/**
 * Who asks for a token of the relay. An ID token is exchanged for a session: a token of ours must name someone who can
 * be looked up.
 * @param factory - whose rules judge an ID token when the user name does not say it
 * @throws Problem `unauthenticated`, `too-many-requests`
 */
export async function authenticateForToken(
  deps: CallerDeps,
  asked: WireRequest,
  input: { presented: Presented | undefined; factory: string | undefined },
): Promise<{ caller: Caller; holder: Holder }> {
  const { presented } = input;
  const asker = presented
    ? await withTokenOrSession(deps, asked, presented, input.factory)
    : await ofCertificate(deps, asked.request);
  if (!asker) throw missingCredential(asked.isForDevices);
  return asker;
}

async function withTokenOrSession(
  deps: CallerDeps,
  { facts }: WireRequest,
  { token, user }: Presented,
  factory: string | undefined,
): Promise<{ caller: Caller; holder: Holder }> {
  const { callers, relayTokens } = deps;
  if (relayTokens.isOurs(token)) throw invalidCredential("relay-token");
  const requested = requestedBy(facts);
  if (callers.isForeign(token)) {
    const judgedFor = user ?? factory ?? "";
    const { credentialId } = await deps.openSession({ token, factory: judgedFor, requested });
    return { caller: await callers.withId(credentialId), holder: { credentialId } };
  }
  const caller = await ofToken(deps, token, () => callers.withToken(token, undefined, requested));
  if (caller.credentialId === undefined) throw new Error("who came with a token of ours has a credential");
  return { caller, holder: { credentialId: caller.credentialId } };
}

/** @throws Problem `forbidden` */
export function requirePermission(caller: Caller): void {
  if (!caller.permissions.has(permission))
    throw new Problem("forbidden", `This credential lacks the permission ${permission}.`);
}

/** What a request without a credential is told. Every pull begins so: it is not a failed authentication. */
export const missingCredential = (isForDevices: boolean): Problem =>
  new Problem(
    "unauthenticated",
    isForDevices
      ? "No certificate was shown. Show the device's, with its key, in the TLS handshake (docker and podman: certs.d)."
      : "Log in first: docker login with any user name, and as password a job token, an API token or an ID token (there with the factory as user name).",
    { cause: new CredentialRefused("missing", false) },
  );

/**
 * Whether the request presents a token that is not remembered as one that was valid: only work would tell what it is
 * worth. Costs three hashes at most.
 */
export function presentsUnknown({ callers, relayTokens }: CallerDeps, request: IncomingMessage): boolean {
  const { authorization } = request.headers;
  if (authorization === undefined && request.headers["osf-token"] === undefined)
    return callers.presentsUnknown(request);
  const token = tokenIn(request)?.token;
  return token === undefined || (callers.isUnknown(token) && !relayTokens.remembers(token));
}

/** @returns `undefined` when no credential was sent. @throws Problem `unauthenticated` for one that cannot be one */
export function presentedBy(request: IncomingMessage): Presented | undefined {
  const { authorization } = request.headers;
  if (authorization === undefined && request.headers["osf-token"] === undefined) return undefined;
  const presented = tokenIn(request);
  if (!presented) throw invalidCredential("unreadable");
  return presented;
}

function tokenIn({ headers }: IncomingMessage): Presented | undefined {
  const own = headers["osf-token"];
  if (typeof own === "string") return { token: own };
  const [, scheme = "", value = ""] = /^(basic|bearer) +([^ ]+) *$/i.exec(headers.authorization ?? "") ?? [];
  if (value === "") return undefined;
  if (scheme.toLowerCase() === "bearer") return { token: value };
  const text = Buffer.from(value, "base64").toString("utf8");
  const colon = text.indexOf(":");
  // The user name ends at the first colon, so the password can contain more (RFC 7617, section 2).
  const [user, token] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)];
  if (colon === -1 || token === "") return undefined;
  return user === "" ? { token } : { token, user };
}

async function ofCertificate({ callers }: CallerDeps, request: IncomingMessage) {
  const shown = await callers.withCertificate(request);
  if (!shown) return undefined;
  const { caller, fingerprint } = shown;
  return { caller, holder: { deviceId: caller.id, fingerprint }, names: undefined };
}

async function ofRelayToken(deps: CallerDeps, { request, isForDevices }: WireRequest, token: string): Promise<Asker> {
  const verified = await deps.relayTokens.verify(token, { isForDevices });
  if (verified === undefined) throw invalidCredential("relay-token");
  if (verified === "expired") throw ended();
  const { holder, names } = verified;
  if ("fingerprint" in holder) {
    const shown = await deps.callers.withCertificate(request);
    if (shown?.fingerprint !== holder.fingerprint) throw invalidCredential("relay-token-of-another-certificate");
    return { caller: shown.caller, holder, names };
  }
  const caller = await deps.callers.withId(holder.credentialId).catch((error: unknown) => {
    throw isRefusal(error) ? ended() : error;
  });
  return { caller, holder, names };
}

async function ofToken({ callers }: CallerDeps, token: string, find: () => Promise<Caller>): Promise<Caller> {
  try {
    return await find();
  } catch (error) {
    if (isRefusal(error) && (await callers.hasEnded(token))) throw ended();
    throw error;
  }
}

const isRefusal = (error: unknown): boolean => error instanceof Problem && error.code === "unauthenticated";

/** The one 401, for a token that was good once: anyone who has it did not guess, and its next pull is not an attack. */
const ended = (): Problem => invalidCredential(new CredentialRefused("ended", false));
