import { z } from "zod";
import { optionalMember } from "../../outbound/foreign-json.js";
import type { CloudOutbound } from "./cloud-hosts.js";
import { parseJsonBody, throwUnlessAnswered } from "./upstream-reply.js";

/** Reads what belongs to a project without being able to change it; the least that `testIamPermissions` takes. */
export const readOnlyPlatformScope = "https://www.googleapis.com/auth/cloud-platform.read-only";

export const resourceManagerHost = "cloudresourcemanager.googleapis.com";
export const artifactRegistryHost = "artifactregistry.googleapis.com";

// Not `optionalMember`: a list that cannot be read would say that nothing is permitted.
const permissionsReply = z.object({ permissions: z.array(z.string()).nullish() });
const tokenInfoReply = z.object({
  scope: z.string(),
  email: optionalMember(z.string().regex(/^[\w.+-]{1,128}@[\w.-]{1,128}$/)),
});

type Way = { outbound: CloudOutbound; now: () => Date; signal: AbortSignal };

/**
 * Which of the permissions an access token's account holds on a resource. Nothing is done, and it needs no permission.
 * Source: Resource Manager API, `projects.testIamPermissions`; Artifact Registry API, `repositories.testIamPermissions`.
 * @returns `undefined` when Google does not say: the API is off in the project, or there is no such resource
 */
export async function testPermissions(
  way: Way,
  accessToken: string,
  resource: string,
  permissions: readonly string[],
): Promise<readonly string[] | undefined> {
  const url = new URL(`${resource}:testIamPermissions`);
  const reply = await way.outbound.request({
    url,
    method: "POST",
    headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json" },
    body: JSON.stringify({ permissions }),
    signal: way.signal,
  });
  throwUnlessAnswered(url.hostname, reply, way.now().getTime());
  const parsed = reply.status === 200 ? permissionsReply.safeParse(parseJsonBody(reply)) : undefined;
  return parsed?.success === true ? (parsed.data.permissions ?? []) : undefined;
}

/** What Google says of an access token: its scopes and, where they allow that, whose it is. */
export async function readTokenInfo(
  way: Way,
  tokenHost: string,
  accessToken: string,
): Promise<{ scopes: readonly string[]; email: string | undefined } | undefined> {
  const reply = await way.outbound.request({
    url: `https://${tokenHost}/tokeninfo`,
    method: "POST",
    // In the header, as google-auth-library sends it: a token in a URL ends in logs.
    headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/x-www-form-urlencoded" },
    signal: way.signal,
  });
  throwUnlessAnswered(tokenHost, reply, way.now().getTime());
  const parsed = reply.status === 200 ? tokenInfoReply.safeParse(parseJsonBody(reply)) : undefined;
  if (parsed?.success !== true) return undefined;
  return { scopes: parsed.data.scope.split(" "), email: parsed.data.email };
}
