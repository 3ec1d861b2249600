import { randomUUID } from "node:crypto";
import { newSigningKey, nowSeconds, signToken } from "../../support/oidc-issuer.js";
import type { DeviceFactory } from "./device-factory.js";

const audience = "https://secrets.example.com";
/** Nobody can reach it: its keys are in the rule. */
const issuer = "https://kubernetes.default.svc.cluster.local";
const uid = "00000000-0000-4000-8000-00000000000a";
export const account = { namespace: "shop", serviceaccount: { name: "web", uid } };
const clusterKey = newSigningKey("RS256");

/** A token of a service account, as a cluster makes it. */
export function accountToken(claims: Record<string, unknown> = {}): string {
  const times = { iat: nowSeconds(), nbf: nowSeconds(), exp: nowSeconds() + 600 };
  const payload = { iss: issuer, aud: [audience], sub: "system:serviceaccount:shop:web", ...times };
  const { kid, alg } = clusterKey;
  return signToken({ alg, kid }, { ...payload, "kubernetes.io": account, ...claims }, clusterKey);
}

/** A trust rule of the Kubernetes template for that account. */
export async function trustServiceAccount({ service, factory }: DeviceFactory, grants: object[]): Promise<void> {
  const rule = {
    ...{ name: randomUUID(), template: "kubernetes", issuer, audience, grants },
    jwks: JSON.stringify({ keys: [clusterKey.jwk] }),
    conditions: [
      { claim: "/kubernetes.io/namespace", equals: account.namespace },
      { claim: "/kubernetes.io/serviceaccount/name", equals: account.serviceaccount.name },
      { claim: "/kubernetes.io/serviceaccount/uid", equals: uid },
    ],
  };
  await service.as(service.operatorToken).post(`/v1/factories/${factory.name}/trust-rules`).send(rule).expect(201);
}
