/** The one name of Docker Hub: what `docker pull` calls it. */
export const dockerHubHost = "docker.io";

/** Where Docker Hub's registry is spoken to. */
export const dockerHubApiHost = "registry-1.docker.io";

// docker and its credential stores know Docker Hub by all of these; two entries for it would be two entries for one host.
const dockerHubAliases: ReadonlySet<string> = new Set([dockerHubHost, "index.docker.io", dockerHubApiHost]);
const dockerHubKey = /^https:\/\/index\.docker\.io\/v1\/?$/i;

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ipv4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;
const maxHostLength = 253;
const httpsPort = 443;

const listOf = new Intl.ListFormat("en");

export type NormalisedHost = { ok: true; host: string } | { ok: false; reason: string };

/**
 * Brings the host of a registry into its one spelling: lower case, without the default port 443 or a trailing dot, and
 * `docker.io` for every name of Docker Hub. The result is `host` or `host:port`; normalising it again changes nothing.
 *
 * A refusal's `reason` says what to write instead. It quotes nothing but a host found inside a longer URL, because
 * people paste credentials into the wrong field. Rules: RFC 1123 (labels), distribution reference grammar (no underscore).
 */
export function normaliseHost(input: string): NormalisedHost {
  if (dockerHubKey.test(input)) return { ok: true, host: dockerHubHost };
  const refusal = refusalOfForm(input);
  if (refusal !== undefined) return { ok: false, reason: refusal };
  return normalisePlain(input.toLowerCase());
}

function normalisePlain(lower: string): NormalisedHost {
  const [, nameAndDot = "", portText] = /^([^:]*)(?::(.*))?$/.exec(lower) ?? [];
  const port = portText === undefined ? httpsPort : portNumber(portText);
  if (port === undefined) return refused("The part after the colon must be a port, a number from 1 to 65535.");
  const name = nameAndDot.endsWith(".") ? nameAndDot.slice(0, -1) : nameAndDot;
  const refusal = refusalOfName(name);
  if (refusal !== undefined) return refused(refusal);
  if (port !== httpsPort) return { ok: true, host: `${name}:${port}` };
  return { ok: true, host: isDockerHub(name) ? dockerHubHost : name };
}

/** A registry's host as a part of an image's name at the relay: a part has no colon. */
export const pathOfHost = (host: string): string => host.replace(":", "_");

/** Whether a host, normalised or not, is one of Docker Hub's names. */
export function isDockerHub(host: string): boolean {
  return dockerHubAliases.has(host);
}

function refusalOfForm(input: string): string | undefined {
  if (input === "") return "The host is empty.";
  if (/[\s\p{Cc}]/u.test(input)) return "A host has no spaces, tabs or line ends in it.";
  const parts = extraParts(input);
  if (parts.length > 0) return `Found ${listOf.format(parts)}. Write the host alone${suggestion(input)}.`;
  if (/[^\x20-\x7e]/.test(input)) return "A host has ASCII letters only. Write an international name in its xn-- form.";
  if (input.startsWith("[") || input.split(":").length > 2) {
    return "An IPv6 address cannot be a registry host. Write a host name.";
  }
  return undefined;
}

/** What is around the host when someone wrote a whole URL. */
function extraParts(input: string): string[] {
  const { scheme, userinfo, rest } = splitUrl(input);
  const parts: string[] = [];
  if (scheme) parts.push("a scheme");
  if (userinfo) parts.push("a user name or password");
  if (rest) parts.push("a path");
  return parts;
}

function splitUrl(input: string): { scheme: boolean; userinfo: boolean; host: string; rest: boolean } {
  const [, scheme, afterScheme = ""] = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)$/is.exec(input) ?? [];
  const authority = afterScheme.split(/[/?#\\]/, 1)[0] ?? "";
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  return {
    scheme: scheme !== undefined,
    userinfo: host !== authority,
    host,
    rest: authority !== afterScheme,
  };
}

function suggestion(input: string): string {
  const { host } = splitUrl(input);
  if (refusalOfForm(host) !== undefined) return "";
  const normalised = normalisePlain(host.toLowerCase());
  return normalised.ok && looksLikeHost(normalised.host) ? `: ${normalised.host}` : "";
}

/** A dotted name of words, as opposed to a token that happens to fit the rules of a host. */
function looksLikeHost(host: string): boolean {
  return host.includes(".") && host.length <= 80 && host.split(".").every((part) => part.length <= 40);
}

function portNumber(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function refusalOfName(name: string): string | undefined {
  if (name === "") return "The host is empty.";
  if (name.length > maxHostLength) return `A host has at most ${maxHostLength} characters.`;
  const labels = name.split(".");
  if (!labels.every((part) => label.test(part))) {
    return "A host is made of letters, digits and dashes, in parts of 1 to 63 characters with dots between them.";
  }
  // 127.1, 0x7f.1 and 2130706433 all dial 127.0.0.1: one address must not have many names.
  const last = labels.at(-1) ?? "";
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(last) && !ipv4.test(name)) {
    return "A host that ends in a number must be an IPv4 address of four decimal numbers.";
  }
  // A host is called by a URL, and URLs refuse an xn-- part that does not decode. Only those parts: this runs for every token.
  if (name.includes("xn--") && (!URL.canParse(`https://${name}`) || new URL(`https://${name}`).hostname !== name)) {
    return "A part of the host begins with xn-- and is not the form of an international name.";
  }
  return undefined;
}

function refused(reason: string): NormalisedHost {
  return { ok: false, reason };
}
