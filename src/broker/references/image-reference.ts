import { dockerHubHost, normaliseHost } from "../../core/normalise-host.js";

/** What an image reference names: `ghcr.io/acme/base:1`, `alpine`, `example.azurecr.io/app@sha256:...`. */
export type ImageReference = {
  /** Normalised: `docker.io` for all names of Docker Hub. */
  host: string;
  /** As the registry knows it: `library/alpine`. */
  repository: string;
  tag?: string;
  /** It decides, whatever the tag says. */
  digest?: string;
};

const path = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const maxPathLength = 255;

/**
 * Reads a reference as docker does (distribution/reference, `ParseNormalizedNamed`): what precedes the first slash
 * is a host only if it has a dot or a colon in it, or is `localhost`; without a host it is Docker Hub's; without a tag
 * and a digest it is `latest`.
 * @returns a sentence that says what is wrong, for a text that is not a reference
 */
export function parseImageReference(text: string): ImageReference | string {
  const [name = "", digest, ...rest] = text.split("@");
  if (rest.length > 0) return "It has more than one @.";
  if (digest !== undefined && !digestPattern.test(digest))
    return "The part after @ is not a SHA-256 or SHA-512 digest.";
  const colon = name.lastIndexOf(":");
  const hasTag = colon > name.lastIndexOf("/");
  const tag = hasTag ? name.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagPattern.test(tag))
    return "Its tag is not valid: use 1 to 128 letters, digits, _ . and -.";
  const place = splitHost(hasTag ? name.slice(0, colon) : name);
  if (typeof place === "string") return place;
  if (place.repository.length > maxPathLength || !path.test(place.repository))
    return "Its repository name is not valid: use lower-case letters and digits, with . _ - between them and / between parts.";
  return {
    ...place,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined ? { digest } : tag === undefined && { tag: "latest" }),
  };
}

function splitHost(name: string): { host: string; repository: string } | string {
  const slash = name.indexOf("/");
  const first = slash === -1 ? "" : name.slice(0, slash);
  if (!/[.:]/.test(first) && first !== "localhost")
    return { host: dockerHubHost, repository: slash === -1 ? `library/${name}` : name };
  const normalised = normaliseHost(first);
  if (!normalised.ok) return `Its registry cannot be one. ${normalised.reason}`;
  const rest = name.slice(slash + 1);
  const isOfficial = normalised.host === dockerHubHost && !rest.includes("/");
  return { host: normalised.host, repository: isOfficial ? `library/${rest}` : rest };
}
