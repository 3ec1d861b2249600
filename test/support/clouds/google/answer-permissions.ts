import { z } from "zod";
import { bearerOf, type CloudReply, type CloudRequest, jsonReply } from "../cloud-endpoint.js";
import { type GoogleTokenDeps, readOnlyPlatformScope } from "./answer-google-token.js";

const Body = z.strictObject({ permissions: z.array(z.string().regex(/^[A-Za-z]+(\.[A-Za-z]+)+$/)).min(1) });

/**
 * Answers `testIamPermissions` of Resource Manager and Artifact Registry: those of the permissions that the token's
 * account holds. A token for storage alone is refused. With `isOff` the API is not enabled in the project.
 * Source: Resource Manager API, Artifact Registry API.
 */
export function answerPermissions(
  { clock, accounts, tokens }: GoogleTokenDeps,
  request: CloudRequest,
  isOff: boolean,
): CloudReply {
  const resource = /^\/v1\/(projects\/.+):testIamPermissions$/.exec(request.path)?.[1];
  if (request.method !== "POST" || resource === undefined) return googleError(404, "NOT_FOUND");
  const token = tokens.get(bearerOf(request) ?? "");
  if (token === undefined || token.expiresAt <= clock.now()) return googleError(401, "UNAUTHENTICATED");
  if (token.scope !== readOnlyPlatformScope || isOff) return googleError(403, "PERMISSION_DENIED");
  const body = Body.safeParse(JSON.parse(request.body));
  if (!body.success) return googleError(400, "INVALID_ARGUMENT");
  const held = accounts.get(token.email)?.permissions[resource] ?? [];
  const permissions = body.data.permissions.filter((permission) => held.includes(permission));
  // An empty list is left out, as everywhere in Google's JSON.
  return jsonReply(200, permissions.length === 0 ? {} : { permissions });
}

function googleError(code: number, status: string): CloudReply {
  return jsonReply(code, { error: { code, message: "The request was refused.", status } });
}
