import { z } from "zod";
import type { FormatResult } from "../../secret-formats/check-credential-text.js";
import { readCredential } from "../../secret-formats/damaged-value.js";
import { parsePair } from "../docker/user-password.js";

/** A service principal, or a token or admin user of the registry itself (those have no tenant). */
export type AzurePrincipal = { clientId: string; clientSecret: string; tenantId?: string };

const text = z.string().min(1).max(4096);

// As `az ad sp create-for-rbac` prints it, and as it did with `--sdk-auth`.
const principalJson = z.union([
  z.object({ appId: text, password: text, tenant: text }).transform(({ appId, password, tenant }) => ({
    clientId: appId,
    clientSecret: password,
    tenantId: tenant,
  })),
  z
    .object({ clientId: text, clientSecret: text, tenantId: text })
    .transform(({ clientId, clientSecret, tenantId }): AzurePrincipal => ({ clientId, clientSecret, tenantId })),
]);

/** Reads `<ID>:<PASSWORD>`, or the JSON that `az ad sp create-for-rbac` prints, which also names the tenant. */
export function parseAzurePrincipal(secretText: string): FormatResult<AzurePrincipal> {
  return readCredential("azure", secretText, parsePrincipal);
}

function parsePrincipal(secretText: string): FormatResult<AzurePrincipal> {
  if (!/^\s*[{[]/.test(secretText)) {
    const pair = parsePair(secretText, "<ID>:<PASSWORD>");
    if (!pair.ok) return pair;
    return { ok: true, value: { clientId: pair.value.user, clientSecret: pair.value.password } };
  }
  const principal = principalJson.safeParse(parseJson(secretText));
  if (!principal.success) {
    return mistake("It is JSON but has neither appId, password and tenant nor clientId, clientSecret and tenantId.");
  }
  if (!isTenantId(principal.data.tenantId ?? "")) return mistake("Its tenant is neither a UUID nor a domain name.");
  return { ok: true, value: principal.data };
}

/** A tenant goes into the path of a URL: nothing but a UUID or a domain name may. */
export function isTenantId(tenantId: string): boolean {
  return /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/.test(tenantId);
}

function parseJson(secretText: string): unknown {
  try {
    return JSON.parse(secretText);
  } catch {
    return undefined; // The parser's message quotes its input, so it goes nowhere.
  }
}

function mistake(sentence: string): { ok: false; mistakes: readonly string[] } {
  return { ok: false, mistakes: [sentence] };
}
