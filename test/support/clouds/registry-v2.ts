import { type CloudReply, jsonReply } from "./cloud-endpoint.js";

/** A pull of one manifest: `GET /v2/<repository>/manifests/<reference>`; the base `/v2/` has no repository. */
export type RegistryPath = { repository?: string };

/** `undefined` for a path that the stand-in registries do not serve. */
export function parseRegistryPath(path: string): RegistryPath | undefined {
  if (path === "/v2/" || path === "/v2") return {};
  const repository = /^\/v2\/(.+)\/manifests\/[^/]+$/.exec(path)?.[1];
  return repository === undefined ? undefined : { repository };
}

/** A successful answer: an empty manifest, or the version check. */
export function servedReply(path: RegistryPath): CloudReply {
  if (path.repository === undefined) return jsonReply(200, {}, { "docker-distribution-api-version": "registry/2.0" });
  return jsonReply(200, { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] });
}

/** An error in the shape of the OCI distribution specification, "Error Codes". */
export function registryError(
  status: number,
  code: "DENIED" | "NAME_UNKNOWN" | "TOOMANYREQUESTS" | "UNAUTHORIZED" | "UNSUPPORTED",
  message: string,
  headers: Readonly<Record<string, string | string[]>> = {},
): CloudReply {
  return jsonReply(status, { errors: [{ code, message }] }, headers);
}

/** How registries say that they are called too often. */
export function throttledRegistry(): CloudReply {
  return registryError(429, "TOOMANYREQUESTS", "too many requests", { "retry-after": "7" });
}
