import { RepositoryName } from "../core/grant.js";
import { dockerHubHost, normaliseHost, pathOfHost } from "../core/normalise-host.js";
import { FactoryName } from "../http/contract.js";
import { OciProblem } from "./oci-errors.js";

/** Where an image is: in which registry, by which factory's config. */
export type Place = {
  factory: string;
  /** Normalised host of the registry. */
  registry: string;
  repository: string;
};

/** A place as a request named it. */
export type NamedPlace = Place & {
  /** The registry was said by `?ns=`, so what answers with a path must leave it out of that. */
  byNamespace: boolean;
};

/** What a request is for, as far as its path and query say. */
export type Asked =
  | { what: "ping" }
  | { what: "token" }
  | { what: "manifest"; place: NamedPlace; reference: string }
  | { what: "blob"; place: NamedPlace; digest: string }
  | { what: "tags"; place: NamedPlace; query: URLSearchParams }
  | { what: "referrers"; place: NamedPlace; digest: string; query: URLSearchParams };

/** What of the asked is of one repository. */
export type AskedOfPlace = Extract<Asked, { place: NamedPlace }>;

/** What of that comes in pages. */
export type AskedList = Extract<AskedOfPlace, { query: URLSearchParams }>;

const tag = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
/** The algorithms by which the bytes can be checked on their way. */
const digestOf = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** A page's token is the registry's own, and can be long. */
const maxQueryLength = 2_000;

/**
 * Reads what a request is for. The path is taken as it was sent: no name or digest needs a character that is
 * percent-encoded, and one that was decoded could be read in two ways.
 * @param ownHosts - how the relay itself is called: containerd sends that as `ns` when no other registry is meant
 * @throws OciProblem for a path that is not one of the protocol, and for a malformed name or digest
 */
export function parseAsked(path: string, query: URLSearchParams, ownHosts: readonly string[]): Asked {
  if (path === "/v2/" || path === "/v2") return { what: "ping" };
  if (path === "/v2/token") return { what: "token" };
  // Greedy: a part of the name can be called like what follows it.
  const [, name, kind, rest] =
    /^\/v2\/(.+)\/(manifests|blobs|referrers)\/([^/]+)$/.exec(path) ?? /^\/v2\/(.+)\/(tags)\/(list)$/.exec(path) ?? [];
  if (name === undefined || rest === undefined) throw noOperation();
  const place = parsePlace(name, namespaceOf(query, ownHosts));
  switch (kind) {
    case "manifests":
      // A reference that cannot be one is of no manifest.
      if (!tag.test(rest) && !digestOf.test(rest))
        throw unknownManifest("A tag has 1 to 128 letters, digits, _ . and -.");
      return { what: "manifest", place, reference: rest };
    case "blobs":
      return { what: "blob", place, digest: checkedDigest(rest) };
    case "referrers":
      return { what: "referrers", place, digest: checkedDigest(rest), query: passedOn(query) };
    default:
      return { what: "tags", place, query: passedOn(query) };
  }
}

/** Whether a reference names its manifest by what is in it. */
export const isDigest = (reference: string): boolean => digestOf.test(reference);

/** What a client is told of a manifest that is not there. */
export const unknownManifest = (why: string): OciProblem => new OciProblem("MANIFEST_UNKNOWN", "not-found", why);

/**
 * The name under which a place is known in scopes and tokens, whatever form it was asked in: the path by which every
 * client can pull it.
 */
export function scopeNameOf({ factory, registry, repository }: Place): string {
  return `${factory}/${pathOfHost(registry)}/${repository}`;
}

/** The place that a scope names; `undefined` for one that names none. */
export function placeOfScopeName(name: string): Place | undefined {
  try {
    return parsePlace(name, undefined);
  } catch (error) {
    if (error instanceof OciProblem) return undefined;
    throw error;
  }
}

/** The path of the registry itself, behind `/v2/`, for what is asked. */
export function upstreamPath(asked: AskedOfPlace): string {
  switch (asked.what) {
    case "manifest":
      return `manifests/${asked.reference}`;
    case "blob":
      return `blobs/${asked.digest}`;
    case "referrers":
      return withQuery(`referrers/${asked.digest}`, asked.query);
    case "tags":
      return withQuery("tags/list", asked.query);
    default:
      return asked satisfies never;
  }
}

/**
 * A registry's `Link` to the next page, as it leads through the relay.
 * @returns `undefined` for one that names no next page
 */
export function relayedLink(link: string, asked: AskedList): string | undefined {
  const [, target] = /^\s*<([^>]*)>\s*;\s*rel="?next"?\s*$/.exec(link) ?? [];
  if (target === undefined) return undefined;
  const { place } = asked;
  const base = `https://${place.registry}/v2/${place.repository}/`;
  if (!URL.canParse(target, base)) return undefined;
  const query = passedOn(new URL(target, base).searchParams);
  if (place.byNamespace) query.set("ns", place.registry);
  const name = place.byNamespace ? `${place.factory}/${place.repository}` : scopeNameOf(place);
  const path = asked.what === "tags" ? "tags/list" : `referrers/${asked.digest}`;
  return `<${withQuery(`/v2/${name}/${path}`, query)}>; rel="next"`;
}

/** @param namespace - the registry that `?ns=` says */
function parsePlace(name: string, namespace: string | undefined): NamedPlace {
  const [factory = "", first = "", ...others] = name.split("/");
  if (!FactoryName.safeParse(factory).success) throw invalidName();
  const named = hostOfPath(first);
  const isNamedTwice = namespace !== undefined && named === namespace && others.length > 0;
  const registry = namespace ?? named;
  const parts = namespace === undefined || isNamedTwice ? others : [first, ...others];
  const repository = RepositoryName.safeParse(inDockerHub(registry, parts).join("/"));
  if (registry === undefined || !repository.success) throw invalidName();
  return { factory, registry, repository: repository.data, byNamespace: namespace !== undefined };
}

/** Docker Hub's official images have a name of one part only for people. */
const inDockerHub = (registry: string | undefined, parts: readonly string[]): readonly string[] =>
  registry === dockerHubHost && parts.length === 1 ? ["library", ...parts] : parts;

function namespaceOf(query: URLSearchParams, ownHosts: readonly string[]): string | undefined {
  const [given, ...more] = query.getAll("ns");
  if (given === undefined || given === "") return undefined;
  if (more.length > 0) throw new OciProblem("NAME_INVALID", "invalid-request", "The parameter ns appears twice.");
  if (ownHosts.includes(given.toLowerCase())) return undefined;
  const host = normaliseHost(given);
  if (!host.ok)
    throw new OciProblem("NAME_INVALID", "invalid-request", `The parameter ns names no registry. ${host.reason}`);
  return ownHosts.includes(host.host) ? undefined : host.host;
}

function hostOfPath(part: string): string | undefined {
  if (part !== part.toLowerCase() || part.includes(":")) return undefined;
  const host = normaliseHost(part.replace(/_(\d+)$/, ":$1"));
  return host.ok ? host.host : undefined;
}

function checkedDigest(text: string): string {
  if (digestOf.test(text)) return text;
  throw new OciProblem("DIGEST_INVALID", "invalid-request", "This is not a SHA-256 or SHA-512 digest.");
}

function passedOn(query: URLSearchParams): URLSearchParams {
  const passed = new URLSearchParams(query);
  passed.delete("ns");
  if (passed.toString().length > maxQueryLength) {
    throw new OciProblem("UNSUPPORTED", "invalid-request", `The query has more than ${maxQueryLength} characters.`);
  }
  return passed;
}

const withQuery = (path: string, query: URLSearchParams): string => (query.size > 0 ? `${path}?${query}` : path);

const invalidName = (): OciProblem =>
  new OciProblem(
    "NAME_INVALID",
    "invalid-request",
    "The name of an image here is <factory>/<registry>/<repository>, such as acme/ghcr.io/team/app. A port is written host_5000.",
  );

const noOperation = (): OciProblem =>
  new OciProblem(
    "UNSUPPORTED",
    "not-found",
    "The relay answers pulls only: manifests, blobs, tags/list and referrers of a repository.",
  );
