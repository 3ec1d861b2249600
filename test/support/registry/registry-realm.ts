import { randomUUID, X509Certificate } from "node:crypto";
import jwt from "jsonwebtoken";
import type { ServerCertificate } from "../certificates.js";
import { basicOf, type CloudReply, type CloudRequest, jsonReply, queryOf } from "../clouds/cloud-endpoint.js";
import { grantScopes, parseScopes } from "../clouds/docker-scope.js";

export type RealmUser = { password: string; rights: Readonly<Record<string, readonly ("pull" | "push")[]>> };

export type RegistryRealmOptions = {
  /** `iss` of its tokens; the registry is configured with the same. */
  issuer: string;
  /** `aud` of its tokens: the registry's service name. */
  service: string;
  /** Signs the tokens. The registry trusts the authority that issued it. */
  signer: ServerCertificate;
  users: Readonly<Record<string, RealmUser>>;
  lifetimeSeconds: number;
};

/**
 * A token realm for a real `docker-registry`: checks Basic, grants what the user has of the scopes asked for, and signs
 * a token whose `x5c` header carries its certificate, which distribution 2.x verifies against its `rootcertbundle`.
 * Source: distribution documentation, "Token Authentication Specification" and "Token Authentication Implementation".
 */
export function answerRegistryRealm(options: RegistryRealmOptions, request: CloudRequest): CloudReply {
  const query = queryOf(request);
  const basic = basicOf(request);
  const user = basic === undefined ? undefined : options.users[basic.user];
  if (user === undefined || user.password !== basic?.password) {
    return jsonReply(401, { details: "incorrect username or password" });
  }
  const wanted = parseScopes(query.getAll("scope"));
  if (wanted === undefined || query.get("service") !== options.service)
    return jsonReply(400, { details: "bad request" });
  const { lifetimeSeconds } = options;
  const claims = { access: grantScopes(wanted, user.rights), jti: randomUUID() };
  const certificate = new X509Certificate(options.signer.cert).raw.toString("base64");
  const token = jwt.sign(claims, options.signer.key, {
    algorithm: "ES256",
    header: { alg: "ES256", typ: "JWT", x5c: [certificate] },
    issuer: options.issuer,
    subject: basic.user,
    audience: options.service,
    expiresIn: lifetimeSeconds,
    notBefore: 0,
  });
  return jsonReply(200, {
    token,
    access_token: token,
    expires_in: lifetimeSeconds,
    issued_at: new Date().toISOString(),
  });
}
