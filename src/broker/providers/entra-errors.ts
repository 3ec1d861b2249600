import { z } from "zod";
import { listOf, optionalMember } from "../../outbound/foreign-json.js";

const entraError = z.object({
  error: optionalMember(z.string()),
  error_codes: optionalMember(listOf(z.number().int())),
  error_description: optionalMember(z.string()),
});

const notTrusted =
  "the application trusts another issuer, subject or audience than this entry's. GET /v1/factories/{factory}/federation prints what it has to trust.";

// Source: Microsoft Entra authentication and authorization error codes.
const meanings: ReadonlyMap<number, string> = new Map([
  [7000215, "the client secret is wrong. Store the secret's value, not its id."],
  [7000222, "the client secret has expired. Make a new one and store it."],
  [7000112, "the application is disabled."],
  [7000229, "the application has no service principal in this tenant."],
  [700016, "the application does not exist in this tenant. Check the client id and the tenant."],
  [700054, "the application may not ask for this kind of token."],
  [70021, notTrusted],
  [700211, notTrusted],
  [700212, notTrusted],
  [700213, notTrusted],
  [700024, "what this service signed was not valid at the time. Check the clock of this service."],
  [700027, "the key that it was signed with is not known. Check that the public URL of this service is reached."],
  [50166, "Entra could not fetch the keys of this service from its public URL. Check that it is reached from outside."],
  [90002, "the tenant does not exist. Check azure_tenant_id, or the tenant in the secret."],
  [900023, "the tenant id is malformed. Check azure_tenant_id, or the tenant in the secret."],
  [900144, "a part of the request is missing. Check that the secret is complete."],
  [500011, "the registry service is not known in this tenant. Check the tenant."],
  [500014, "the service principal is disabled in this tenant."],
  [
    53003,
    "a Conditional Access policy blocks the sign-in. Exempt the service principal, or the addresses of this service.",
  ],
  [
    53000,
    "a Conditional Access policy blocks the sign-in. Exempt the service principal, or the addresses of this service.",
  ],
  [50034, "the account does not exist in this tenant."],
  [50053, "the account is locked after too many failed sign-ins."],
  [50196, "Entra sees a loop of sign-ins. Wait some minutes."],
  [70011, "the scope is not valid for this tenant's cloud."],
]);

const transientCodes: ReadonlySet<number> = new Set([90033, 90034, 50196]);

/** The AADSTS code of an Entra error reply and what it means, or `undefined` when the reply is none. */
export function explainEntraError(body: unknown): { code: number; sentence: string; isTransient: boolean } | undefined {
  const parsed = entraError.safeParse(body);
  if (!parsed.success) return undefined;
  const fromText = /AADSTS([0-9]{4,9})/.exec(parsed.data.error_description ?? "")?.[1];
  const code = parsed.data.error_codes?.[0] ?? (fromText === undefined ? undefined : Number(fromText));
  if (code === undefined) return undefined;
  const meaning = meanings.get(code) ?? "see the code in Microsoft's list of AADSTS errors.";
  return { code, sentence: `AADSTS${code}, ${meaning}`, isTransient: transientCodes.has(code) };
}
