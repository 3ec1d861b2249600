import { isIP } from "node:net";
import { awsPartitionOf, awsRegionForm } from "../core/aws-partitions.js";
import { ecrPublicHost, ecrSuffix } from "../core/cloud-hosts.js";
import { nearestName } from "../core/nearest-name.js";
import { dockerHubHost } from "../core/normalise-host.js";
import type { Invalid } from "../core/problem.js";
import { type AddressRange, isInRanges, isNeverAllowedAddress } from "../outbound/addresses.js";
import type { ConnectToRule } from "../outbound/connect-to.js";
import { fieldsOfType } from "./contract.js";
import { type Registries, registriesKey } from "./document-text.js";
import {
  type GenericEntry,
  keyOfField,
  knownEntryKeys,
  type RegistryType,
  registryTypes,
  secretKeyOf,
} from "./entry.js";
import { type Findings, maxReported } from "./findings.js";
import type { LocatedEntry } from "./parse-document.js";
import { pairOf, resolved, type YamlMapping, type YamlNode, type YamlTree } from "./yaml-tree.js";

/** The keys of a document that this service or the factory's other programs read. Any other is kept, too. */
const rootKeys: readonly string[] = [registriesKey, "notify", "lmp", "containers", "tuf", "ci_scripts"];

// The words of other programs for the same thing. No slip leads to them.
const otherWords: ReadonlyMap<string, readonly string[]> = new Map([
  [registriesKey, ["registry", "docker_registries", "image_registries", "registry_entries"]],
  ["url", ["host", "hostname", "server", "registry", "registry_url", "login_server"]],
  ["hosts", ["urls", "registries", "servers"]],
  ["azure_tenant_id", ["tenant"]],
  ["aws_role_arn", ["role"]],
]);

// A shorter end of a name could be anything: `id`, `arn`.
const leastTailLength = 6;

/**
 * The known key that a key stands for: with a slip in it, without its beginning (`tenant_id` for `azure_tenant_id`), or
 * by another program's word. `undefined` for what resembles none.
 */
function meantKey(key: string, known: readonly string[]): string | undefined {
  const plain = key.toLowerCase().replaceAll("-", "_");
  const found = nearestName(key, known) ?? known.find((name) => otherWords.get(name)?.includes(plain));
  if (found !== undefined || plain.length < leastTailLength) return found;
  return known.find((name) => name.endsWith(`_${plain}`));
}

/** Remarks on the keys of the document itself, and of the part of it about webhooks. */
export function remarkOnDocumentKeys(tree: YamlTree, registries: Registries, findings: Findings): void {
  if (tree.root?.kind !== "mapping") return;
  remarkOnRootKeys(tree.root, registries, findings);
  const notify = mappingAt(pairOf(tree.root, "notify")?.value);
  if (notify === undefined) return;
  remarkOnOtherKeys(notify, ["email", "failures_only", "webhooks"], findings);
  const webhooks = pairOf(notify, "webhooks");
  const list = webhooks === undefined ? undefined : resolved(webhooks.value);
  for (const { node } of list?.kind === "sequence" ? list.items : []) {
    const webhook = mappingAt(node);
    if (webhook !== undefined) remarkOnOtherKeys(webhook, ["url", "secret_name"], findings);
  }
}

function mappingAt(node: YamlNode | undefined): YamlMapping | undefined {
  const found = node === undefined ? undefined : resolved(node);
  return found?.kind === "mapping" ? found : undefined;
}

function remarkOnRootKeys(root: YamlMapping, registries: Registries, findings: Findings): void {
  const hasNone = registries.shape === "mapping" && registries.pair === undefined;
  for (const { key, start } of hasNone ? root.pairs : []) {
    if (meantKey(key, [registriesKey]) === undefined) continue;
    const reason = `The key "${key}" is not known, so this config has no registries; did you mean ${registriesKey}?`;
    // A slip is refused: published, it would take every registry away from the jobs. Another word may be another program's.
    const isSlip = nearestName(key, [registriesKey]) !== undefined;
    (isSlip ? findings.invalid : findings.warnings).push({ offset: start, reason });
  }
  remarkOnOtherKeys(root, hasNone ? rootKeys.filter((key) => key !== registriesKey) : rootKeys, findings);
}

/** Among the keys of other programs: a warning for what resembles a known key, and no word on the rest. */
function remarkOnOtherKeys(node: YamlMapping, known: readonly string[], findings: Findings): void {
  for (const { key, start } of node.pairs) {
    if (known.includes(key)) continue;
    const meant = meantKey(key, known);
    if (meant === undefined) continue;
    findings.warnings.push({ offset: start, reason: reasonOfSlip(key, meant) });
  }
}

function reasonOfSlip(key: string, meant: string): string {
  return `The key "${key}" is not known and is ignored; did you mean ${meant}?`;
}

/** Remarks on the keys of one entry. What is not known is kept and ignored, with a warning. */
export function remarkOnEntryKeys(node: YamlMapping, type: RegistryType | undefined, findings: Findings): void {
  const own = type === undefined ? knownEntryKeys : keysOfType(type);
  for (const { key, start } of node.pairs) {
    // The merge key has a remark of its own.
    if (own.includes(key) || key === "<<") continue;
    const secretOf = registryTypes.find((other) => secretKeyOf[other] === key);
    if (type !== undefined && secretOf !== undefined) {
      const reason = `${key} is for entries of type ${secretOf}; an entry of type ${type} names its secret with ${secretKeyOf[type]}.`;
      findings.invalid.push({ offset: start, reason });
    } else if (knownEntryKeys.includes(key)) {
      findings.warnings.push({ offset: start, reason: `${key} means nothing in an entry of type ${type}.` });
    } else {
      const meant = meantKey(key, own) ?? nearestName(key, knownEntryKeys);
      const reason = meant === undefined ? "This key is not known and is ignored." : reasonOfSlip(key, meant);
      findings.warnings.push({ offset: start, reason });
    }
  }
}

function keysOfType(type: RegistryType): readonly string[] {
  return ["type", secretKeyOf[type], ...fieldsOfType[type].map((field) => keyOfField[field])];
}

/** The key of an entry that is in the place of a known one that is missing. */
export function slipOf(node: YamlMapping, key: string): { key: string; start: number } | undefined {
  return node.pairs.find((pair) => !knownEntryKeys.includes(pair.key) && meantKey(pair.key, [key]) === key);
}

type Mistaken = { pattern: RegExp; reason(parts: readonly string[]): string };

// What people copy from consoles, browsers and API documents where the host of a registry belongs.
const mistaken: readonly Mistaken[] = [
  {
    pattern: new RegExp(`^\\d{12}\\.dkr[.-]ecr(?:-fips)?\\.(${awsRegionForm})\\.[a-z0-9.-]+$`),
    reason: ([region = ""]) =>
      `The registries of ${region} are <account>.dkr.ecr.${region}.${ecrSuffix(region, false)}, or <account>.dkr-ecr.${region}.${ecrSuffix(region, true)} with IPv6.`,
  },
  {
    pattern: new RegExp(`^(?:api\\.)?ecr(?:-fips)?\\.(${awsRegionForm})\\.[a-z0-9.-]+$`),
    reason: ([region = ""]) =>
      `This is the API of Amazon ECR. Write the registry: <account>.dkr.ecr.${region}.${awsPartitionOf(region).dnsSuffix}.`,
  },
  {
    pattern: /^(?:gallery\.ecr\.aws|(?:api\.)?ecr-public(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com|api\.aws))$/,
    reason: () => `This is not the registry of Amazon ECR Public. Write ${ecrPublicHost}.`,
  },
  {
    pattern: /^([a-z0-9-]+)\.(?:[a-z0-9]+\.data|privatelink)\.azurecr\.(io|cn|us)$/,
    reason: ([name = "", top = ""]) => `This host gives no tokens. Write the login server: ${name}.azurecr.${top}.`,
  },
  {
    pattern: /\.azurecr\.de$/,
    reason: () => "Azure Germany was closed in 2021. Write the login server that the registry has now.",
  },
  {
    pattern: /^([a-z]+(?:-[a-z]+\d+)?)-(?:apt|generic|go|googet|kfp|maven|npm|python|yum)\.pkg\.dev$/,
    reason: ([location = ""]) =>
      `This host has packages, not images. The registry for images is ${location}-docker.pkg.dev.`,
  },
  {
    pattern: /^(?:(?:www\.|hub\.|registry\.hub\.|app\.)?docker\.com|(?:hub|auth|login)\.docker\.io)$/,
    reason: () => `This is not the registry of Docker Hub. Write ${dockerHubHost}.`,
  },
  {
    pattern: /^(?:(?:www\.|api\.)?github\.com|(?:docker|npm|maven)\.pkg\.github\.com)$/,
    reason: () => "This is not GitHub's registry for images. Write ghcr.io.",
  },
  { pattern: /^gitlab\.com$/, reason: () => "This is not the registry of GitLab. Write registry.gitlab.com." },
];

/** For a normalised host that is not a registry but is known to belong to one: a sentence that names the right host. */
export function rightHostFor(host: string): string | undefined {
  for (const { pattern, reason } of mistaken) {
    const match = pattern.exec(host);
    if (match) return reason(match.slice(1));
  }
  return undefined;
}

/** The operator's settings that decide whether a host may be called, and whether its credential may be handed out. */
export type CallSettings = {
  passThroughHosts: readonly string[];
  outbound: { allowAddresses: readonly AddressRange[]; connectTo: readonly ConnectToRule[] };
};

/** Remarks on entries that the settings of this installation keep from working, as far as their hosts alone tell. */
export function remarkOnSettings(entries: readonly LocatedEntry[], settings: CallSettings): Invalid[] {
  const remarks = entries.flatMap(({ entry, at }) => {
    const reason = entry.type === "generic" ? remarkOnEntry(entry, settings) : undefined;
    return reason === undefined ? [] : [{ at, reason }];
  });
  return remarks.slice(0, maxReported);
}

function remarkOnEntry({ host, passThrough }: GenericEntry, settings: CallSettings): string | undefined {
  // The stored credential is handed out, and nothing is called.
  if (!passThrough) return remarkOnAddress(host, settings.outbound);
  if (settings.passThroughHosts.includes(host)) return undefined;
  return `passThrough is not allowed for ${host}, so jobs get no token by this entry. An operator can allow it: FACTORY_SECRETS_PASS_THROUGH_HOSTS=${host}`;
}

/** What the guard of outbound calls says of an address, or of a name that is one by its meaning. */
function remarkOnAddress(host: string, { allowAddresses, connectTo }: CallSettings["outbound"]): string | undefined {
  const [name = "", port = "443"] = host.split(":");
  const isLocal = name === "localhost" || name.endsWith(".localhost");
  if (isIP(name) === 0 && !isLocal) return undefined;
  if (connectTo.some(({ from }) => from.host === name && from.port === Number(port))) return undefined;
  if (isNeverAllowedAddress(name)) {
    return "This address is link-local, multicast or one of a metadata service. The service never calls it.";
  }
  if (isInRanges(isLocal ? "127.0.0.1" : name, allowAddresses)) return undefined;
  const what = isLocal ? "This name stands for the machine that the service runs on" : "This is an address, not a name";
  const allowed = isLocal ? "127.0.0.0/8" : name;
  return `${what}. The service calls it only if an operator allows that: FACTORY_SECRETS_ALLOW_ADDRESSES=${allowed}`;
}
