import { randomUUID, X509Certificate } from "node:crypto";
import jwt from "jsonwebtoken";
import { z } from "zod";
import type { ServerCertificate } from "../certificates.js";
import { basicOf, type CloudReply, type CloudRequest, jsonReply, queryOf } from "../clouds/cloud-endpoint.js";
import { grantScopes, parseScopes, type ScopeAccess } from "../clouds/docker-scope.js";

/** Who asks a realm, and what of the wanted they get; `undefined` when the login is not right. */
export type Judge = (request: CloudRequest, wanted: readonly ScopeAccess[]) => Verdict | Promise<Verdict>;
export type Verdict = { subject: string; access: readonly ScopeAccess[] } | undefined;

export type RealmUser = { password: string; rights: Readonly<Record<string, readonly ("pull" | "push")[]>> };

/** Takes the logins of these users. */
export function judgeByUsers(users: Readonly<Record<string, RealmUser>>): Judge {
  return (request, wanted) => {
    const basic = basicOf(request);
    const user = basic === undefined ? undefined : users[basic.user];
    if (basic === undefined || user?.password !== basic.password) return undefined;
    return { subject: basic.user, access: grantScopes(wanted, user.rights) };
  };
}

export type RegistryRealmOptions = {
  /** `iss` of its tokens; the registry is configured with the same. */
  issuer: string;
  /** `aud` of its tokens: the registry's service name. */
  service: string;
  /** Signs the tokens. The registry trusts the authority that issued it. */
  signer: ServerCertificate;
  judge: Judge;
  lifetimeSeconds: number;
};

/**
 * A token realm for a real `docker-registry`: has the login judged, and signs a token whose `x5c` header carries its
 * certificate, which distribution 2.x verifies against its `rootcertbundle`.
 * Source: distribution documentation, "Token Authentication Specification" and "Token Authentication Implementation".
 */
export async function answerRegistryRealm(options: RegistryRealmOptions, request: CloudRequest): Promise<CloudReply> {
  const query = queryOf(request);
  const wanted = parseScopes(query.getAll("scope"));
  if (wanted === undefined || query.get("service") !== options.service)
    return jsonReply(400, { details: "bad request" });
  const verdict = await options.judge(request, wanted);
  if (verdict === undefined) return jsonReply(401, { details: "incorrect username or password" });
  const token = sign(options, verdict.subject, verdict.access);
  return jsonReply(200, {
    token,
    access_token: token,
    expires_in: options.lifetimeSeconds,
    issued_at: new Date().toISOString(),
  });
}

function sign(
  { issuer, service, signer, lifetimeSeconds }: RegistryRealmOptions,
  sub: string,
  access: unknown,
): string {
  const iat = Math.floor(Date.now() / 1_000);
  const times = { iat, nbf: iat, exp: iat + lifetimeSeconds };
  return signClaims(signer, { access, jti: randomUUID(), iss: issuer, sub, aud: service, ...times });
}

function signClaims(signer: ServerCertificate, claims: object): string {
  const certificate = new X509Certificate(signer.cert).raw.toString("base64");
  return jwt.sign(claims, signer.key, {
    algorithm: "ES256",
    header: { alg: "ES256", typ: "JWT", x5c: [certificate] },
  });
}

const Times = z.looseObject({ iat: z.number(), nbf: z.number(), exp: z.number() });

/** One of the realm's tokens as a client has it that kept it for so long: everything stays, and its times are over. */
export function ageToken({ signer }: RegistryRealmOptions, token: string, seconds: number): string {
  const { iat, nbf, exp, ...claims } = Times.parse(jwt.decode(token));
  return signClaims(signer, { ...claims, iat: iat - seconds, nbf: nbf - seconds, exp: exp - seconds });
}
