import { type CloudReply, jsonReply } from "./cloud-endpoint.js";

/** A pull of one manifest or blob: `GET /v2/<repository>/manifests/<reference>`; the base `/v2/` has no repository. */
export type RegistryPath = { repository?: string; reference?: string };

/** `undefined` for a path that the stand-in registries do not serve. */
export function parseRegistryPath(path: string): RegistryPath | undefined {
  if (path === "/v2/" || path === "/v2") return {};
  const [, repository, reference] = /^\/v2\/(.+)\/(?:manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
  return repository === undefined || reference === undefined ? undefined : { repository, reference };
}

const platformOf = (os: string, architecture: string, variant?: string) => ({
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  platform: { os, architecture, ...(variant && { variant }) },
});
const configDigest = `sha256:${"c".repeat(64)}`;

/** What every repository holds, by tag: `multi` is for several platforms, `single` for one, `anywhere` names none, `gone` is not there. */
const images: Readonly<Record<string, object>> = {
  // With what buildx adds: an attestation, which is of no platform.
  multi: {
    schemaVersion: 2,
    manifests: [platformOf("linux", "amd64"), platformOf("linux", "arm64", "v8"), platformOf("unknown", "unknown")],
  },
  // Some builders name no platform.
  anywhere: { schemaVersion: 2, manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json" }] },
  single: { schemaVersion: 2, config: { digest: configDigest }, layers: [] },
  [configDigest]: { os: "linux", architecture: "arm", variant: "v7", rootfs: {} },
};

/** A successful answer: one of `images`, else an empty index; or the version check. */
export function servedReply({ repository, reference }: RegistryPath): CloudReply {
  if (repository === undefined) return jsonReply(200, {}, { "docker-distribution-api-version": "registry/2.0" });
  if (reference === "gone") return registryError(404, "NAME_UNKNOWN", "manifest unknown");
  const image = reference === undefined ? undefined : images[reference];
  return jsonReply(
    200,
    image ?? { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] },
  );
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
