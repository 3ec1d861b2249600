import { hash } from "node:crypto";
import { z } from "zod";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import { listOf, optionalMember } from "../../outbound/foreign-json.js";
import type { Outbound, OutboundReply } from "../../outbound/outbound.js";
import {
  type AllowedRealm,
  apiHostOf,
  checkedRealm,
  parseChallenges,
  RealmReply,
} from "../providers/docker/docker-token.js";
import type { MintedToken } from "../providers/provider.js";

import { parseJsonBody, throwUnlessAnswered } from "../providers/upstream-reply.js";

import type { ImageReference } from "./image-reference.js";

export type RegistryAccess = { outbound: Pick<Outbound, "request">; allowedRealms: readonly AllowedRealm[] };

/** What a registry says of an image. `platforms` are absent when it does not tell. */
export type Found =
  | { state: "found"; digest: string; platforms?: readonly string[] }
  | { state: "missing" }
  | { state: "refused"; status: number };

/** Manifests and lists of them, of OCI and docker (OCI image-spec, media-types; distribution, manifest v2.2). */
const accept = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
/** The distribution specification has registries take manifests of 4 MiB at least; those that exist have kilobytes. */
const maxManifestBytes = 1024 * 1024;

const Platform = z.object({ os: z.string(), architecture: z.string(), variant: optionalMember(z.string()) });
const Index = z.object({ manifests: listOf(z.object({ platform: optionalMember(Platform) })) });
const Manifest = z.object({ config: z.object({ digest: z.string().regex(/^sha(?:256|512):[0-9a-f]{64,128}$/) }) });

/**
 * Asks a registry for the manifest of an image, as a client with this token does.
 * @throws Problem when the registry cannot be asked (`upstream-...`, `destination-refused`)
 */
export async function findManifest(access: RegistryAccess, image: ImageReference, token: MintedToken): Promise<Found> {
  const ask = await openRegistry(access, image, token);
  const reply = await ask(`manifests/${image.digest ?? image.tag ?? "latest"}`);
  if (reply.status === 404) return { state: "missing" };
  if (reply.status !== 200) return { state: "refused", status: reply.status };
  const digest = `sha256:${hash("sha256", reply.body, "hex")}`;
  const platforms = await platformsOf(reply, ask);
  return { state: "found", digest: image.digest ?? digest, ...(platforms && { platforms }) };
}

type Ask = (path: string) => Promise<OutboundReply>;

/** The token as it is; or what the registry's realm gives for it, where the registry takes no passwords itself. */
async function openRegistry(access: RegistryAccess, image: ImageReference, token: MintedToken): Promise<Ask> {
  const host = apiHostOf(image.host);
  const base = `https://${host}/v2/${image.repository}`;
  const askWith = (authorization: string): Ask => {
    return async (path) => {
      const headers = { accept, authorization };
      const reply = await access.outbound.request({ url: `${base}/${path}`, headers, maxBytes: maxManifestBytes });
      throwUnlessAnswered(host, reply, databaseNow().getTime());
      return reply;
    };
  };
  if (token.kind === "bearer") return askWith(`Bearer ${token.bearer}`);
  const basic = `Basic ${Buffer.from(`${token.username}:${token.password}`, "utf8").toString("base64")}`;
  const ask = askWith(basic);
  let exchanged: Ask | undefined;
  return async (path) => {
    if (exchanged) return exchanged(path);
    const reply = await ask(path);
    const bearer = reply.status === 401 ? await exchange(access, image, reply, basic) : undefined;
    if (bearer === undefined) return reply;
    exchanged = askWith(`Bearer ${bearer}`);
    return exchanged(path);
  };
}

/** Distribution specification, auth/token. @returns `undefined` when the registry names no realm, or that gives nothing */
async function exchange(
  { outbound, allowedRealms }: RegistryAccess,
  image: ImageReference,
  refusal: OutboundReply,
  authorization: string,
): Promise<string | undefined> {
  const challenges = parseChallenges(refusal.headers["www-authenticate"] ?? []);
  const params = challenges.find(({ scheme, params }) => scheme === "bearer" && params.has("realm"))?.params;
  const realm = params?.get("realm");
  if (realm === undefined) return undefined;
  const url = checkedRealm(apiHostOf(image.host), realm, allowedRealms);
  const service = params?.get("service");
  if (service !== undefined) url.searchParams.set("service", service);
  url.searchParams.set("scope", `repository:${image.repository}:pull`);
  const reply = await outbound.request({ url, headers: { authorization } });
  throwUnlessAnswered(url.hostname, reply, databaseNow().getTime());
  const parsed = RealmReply.safeParse(reply.status === 200 ? parseJsonBody(reply) : undefined);
  return parsed.data?.token ?? parsed.data?.access_token;
}

async function platformsOf(manifest: OutboundReply, ask: Ask): Promise<readonly string[] | undefined> {
  const body = parseJsonBody(manifest);
  const index = Index.safeParse(body);
  // What is of an unknown platform is not an image: buildx puts its attestations there.
  if (index.success) {
    // One that names no platform may be for any.
    const isTold = index.data.manifests.every(({ platform }) => platform !== undefined && platform.os !== "");
    return isTold ? namesOf(index.data.manifests.flatMap(({ platform }) => nameOf(platform))) : undefined;
  }
  const single = Manifest.safeParse(body);
  if (!single.success) return undefined;
  try {
    const config = await ask(`blobs/${single.data.config.digest}`);
    const platform = Platform.safeParse(config.status === 200 ? parseJsonBody(config) : undefined);
    return platform.success ? namesOf(nameOf(platform.data)) : undefined;
  } catch (error) {
    // Many registries keep blobs elsewhere and redirect there, which is not followed.
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

function nameOf(platform: z.output<typeof Platform> | undefined): string[] {
  if (!platform || platform.os === "unknown") return [];
  const { os, architecture, variant } = platform;
  if (os === "" || architecture === "") return [];
  return [[os, architecture, variant].filter((part) => part !== undefined && part !== "").join("/")];
}

/** Each once. An image that names none does not tell: it is not there "for no platform". */
const namesOf = (names: readonly string[]): string[] | undefined =>
  names.length > 0 ? [...new Set(names)] : undefined;
