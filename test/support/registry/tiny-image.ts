import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

type Descriptor = { mediaType: string; digest: string; size: number };

// Two zero blocks are a tar archive without a file.
const emptyTar = Buffer.alloc(1_024);

/**
 * Writes an image with one empty layer as an OCI image layout into `directory`, for `skopeo copy oci:<directory>:<tag>`.
 * Source: OCI Image Format Specification, "Image Layout".
 */
export async function writeTinyImage(directory: string, tag: string): Promise<void> {
  const blobs = join(directory, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const writeBlob = async (mediaType: string, bytes: Buffer): Promise<Descriptor> => {
    await writeFile(join(blobs, sha256Hex(bytes)), bytes);
    return { mediaType, digest: `sha256:${sha256Hex(bytes)}`, size: bytes.length };
  };
  const layer = await writeBlob("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(emptyTar));
  const config = await writeBlob(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [`sha256:${sha256Hex(emptyTar)}`] },
    }),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await writeBlob(mediaType, json({ schemaVersion: 2, mediaType, config, layers: [layer] }));
  const annotations = { "org.opencontainers.image.ref.name": tag };
  await writeFile(join(directory, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  await writeFile(join(directory, "index.json"), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256Hex(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
