import { createHash } from "node:crypto";
import { createTestCertificateAuthority } from "../certificates.js";
import { basicOf, type CloudReply, type CloudRequest } from "../clouds/cloud-endpoint.js";
import { startTlsFront } from "./tls-front.js";

export type TinyRegistry = {
  host: string;
  caPem: string;
  connectTo: string;
  /** The one image, which every repository holds as `1`. */
  image: { manifest: string; digest: string; config: string; layers: readonly string[] };
  /** What it was asked, as `GET /v2/...`, in order. */
  asked: string[];
  close(): Promise<void>;
};

/** The registry has this, and what it sends has another digest. */
export const wrongDigest = `sha256:${"f".repeat(64)}`;

const sha256 = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const manifestType = "application/vnd.oci.image.manifest.v1+json";

/**
 * A registry with one small image in each of its repositories, that takes Basic alone and redirects nowhere. Unlike the
 * stand-in clouds it answers the whole pull half: HEAD, blobs whose digests are right, tags in pages, referrers.
 */
export async function startTinyRegistry(input: {
  hosts: readonly [string, ...string[]];
  login: { user: string; password: string };
  repositories: readonly string[];
}): Promise<TinyRegistry> {
  const authority = await createTestCertificateAuthority();
  const asked: string[] = [];
  const layers = ["first layer", "second layer"];
  const config = "{}";
  const blobs = new Map([config, ...layers].map((text) => [sha256(text), text]));
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
    layers: layers.map((text) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: sha256(text),
      size: text.length,
    })),
  });
  const digest = sha256(manifest);

  function answer(request: CloudRequest): CloudReply {
    asked.push(`${request.method} ${request.path}${request.rawQuery === "" ? "" : `?${request.rawQuery}`}`);
    const basic = basicOf(request);
    if (basic?.user !== input.login.user || basic.password !== input.login.password) {
      return reply(401, '{"errors":[]}', { "www-authenticate": 'Basic realm="tiny"' });
    }
    const [, repository = "", kind, rest = ""] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(request.path) ?? [];
    if (!input.repositories.includes(repository)) return reply(404, '{"errors":[]}');
    if (kind === "tags") {
      const link = { link: `</v2/${repository}/tags/list?n=1&last=1>; rel="next"` };
      return reply(200, JSON.stringify({ name: repository, tags: ["1"] }), request.rawQuery === "n=1" ? link : {});
    }
    if (kind === "referrers") {
      const type = "application/vnd.oci.image.index.v1+json";
      const index = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [] });
      return reply(200, index, { "content-type": type, "oci-filters-applied": "artifactType" });
    }
    const isManifest = kind === "manifests" && (rest === "1" || rest === digest);
    if (kind === "manifests" && rest === wrongDigest) return reply(200, manifest, { "content-type": manifestType });
    if (isManifest) return reply(200, manifest, { "content-type": manifestType, "docker-content-digest": digest });
    const blob = kind === "blobs" ? blobs.get(rest) : undefined;
    return blob === undefined ? reply(404, '{"errors":[]}') : reply(200, blob, { "docker-content-digest": rest });
  }

  const { hosts } = input;
  const names = hosts.map((host) => host.replace(/:\d+$/, ""));
  const front = await startTlsFront({
    authority,
    hosts: names,
    upstreamPort: 0,
    answer: async (asked) => answer(asked),
  });
  return {
    host: hosts[0],
    caPem: authority.caPem,
    connectTo: hosts.map((host) => `${host.includes(":") ? host : `${host}:443`}=127.0.0.1:${front.port}`).join(","),
    image: { manifest, digest, config: sha256(config), layers: layers.map(sha256) },
    asked,
    close: () => front.close(),
  };
}

function reply(status: number, body: string, headers: Record<string, string> = {}): CloudReply {
  const length = String(Buffer.byteLength(body));
  return { status, headers: { "content-type": "application/json", "content-length": length, ...headers }, body };
}
