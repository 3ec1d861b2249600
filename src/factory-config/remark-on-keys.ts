import { nearestName } from "../core/nearest-name.js";
import { type RegistryType, registryTypes } from "./entry.js";
import { fieldsOfType } from "./entry-contract.js";
import { keyOfField, knownEntryKeys, secretKeyOf } from "./entry-keys.js";
import type { Findings } from "./findings.js";
import { type Registries, registriesKey } from "./locate-registries.js";
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

/** The key of an entry that stands in the place of a known one that is missing. */
export function slipOf(node: YamlMapping, key: string): { key: string; start: number } | undefined {
  return node.pairs.find((pair) => !knownEntryKeys.includes(pair.key) && meantKey(pair.key, [key]) === key);
}
