import { awsRegionPattern, isKnownAwsRegion, nearestAwsRegion } from "../core/aws-partitions.js";
import { acrHost, cloudOfHost, ecrHost, isGarHost } from "../core/cloud-hosts.js";
import { normaliseHost } from "../core/normalise-host.js";
import { checkKeyless, uuidPattern } from "./check-keyless.js";
import type { AwsEntry, AzureEntry, GarEntry, GenericEntry, RegistryEntry, RegistryType } from "./entry.js";
import { maxHosts, maxRegionLength, profilePattern } from "./entry-contract.js";
import { principalOf } from "./principal-of.js";
import { rightHostFor } from "./remark-on-host.js";

/** What an entry says, before anyone has asked whether it makes sense. */
export type EntryFields = {
  url?: string | undefined;
  region?: string | undefined;
  profile?: string | undefined;
  azureTenantId?: string | undefined;
  hosts?: readonly string[] | undefined;
  passThrough?: boolean | undefined;
  awsRoleArn?: string | undefined;
  azureClientId?: string | undefined;
  garWorkloadIdentityProvider?: string | undefined;
  garServiceAccount?: string | undefined;
  relay?: string | undefined;
};

export type EntryField = keyof EntryFields;

/** What is wrong (or odd) with one field; `index` is the item of a list. */
export type FieldRemark = { field: EntryField; index?: number; reason: string };

type WithoutSecret<E extends RegistryEntry> = Omit<E, "secretName">;

/** An entry without the name of its secret. */
export type Registry =
  | WithoutSecret<AwsEntry>
  | WithoutSecret<AzureEntry>
  | WithoutSecret<GarEntry>
  | WithoutSecret<GenericEntry>;

export type CheckedEntry = { registry: Registry | undefined; problems: FieldRemark[]; warnings: FieldRemark[] };

const domain = /^(?=.{4,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/i;

/**
 * Checks the fields of one entry against its type and each other, and gives the entry with its host normalised, its
 * region known and its id. All problems are found at once; `registry` is `undefined` when there is any. A reason never
 * quotes a field, only what was derived from a host of a known form. Whether anything
 * opens the registry at all, `entryOf` says.
 * @param hasSecret - whether the entry names a secret too
 */
export function checkEntry(type: RegistryType, fields: EntryFields, hasSecret: boolean): CheckedEntry {
  const remarks: Remarks = { problems: [], warnings: [] };
  const checked = checkByType(type, fields, remarks);
  const { principal, problems } = checkKeyless(type, fields, { hasSecret, registry: checked });
  remarks.problems.push(...problems);
  const relay = checkRelay(fields, remarks.problems);
  const registry = checked && remarks.problems.length === 0 ? { ...checked, ...principal, ...relay } : undefined;
  return { registry, ...remarks };
}

/** The whole entry. `undefined` when nothing opens its registry, which was said before. */
export function entryOf(registry: Registry, secretName: string | undefined): RegistryEntry | undefined {
  if (secretName !== undefined) return { ...registry, secretName };
  return registry.type === "generic" || principalOf(registry) === undefined ? undefined : registry;
}

function checkRelay({ relay }: EntryFields, problems: FieldRemark[]): { relay?: "stream" } {
  if (relay === undefined || relay === "stream") return relay === undefined ? {} : { relay };
  problems.push({ field: "relay", reason: "relay can be stream. Leave it out, and the relay hands on redirects." });
  return {};
}

type Remarks = { problems: FieldRemark[]; warnings: FieldRemark[] };

function checkByType(type: RegistryType, fields: EntryFields, remarks: Remarks): Registry | undefined {
  switch (type) {
    case "aws":
      return checkAws(fields, remarks);
    case "azure":
      return checkAzure(fields, remarks.problems);
    case "gar":
      return checkGar(fields, remarks.problems);
    case "generic":
      return checkGeneric(fields, remarks);
    default:
      return type satisfies never;
  }
}

function checkAws(fields: EntryFields, remarks: Remarks): Registry | undefined {
  const { problems } = remarks;
  const url = readHost(fields, problems);
  const ecr = url === undefined ? undefined : ecrHost(url);
  if (url !== undefined && ecr === undefined) {
    const forms = "<account>.dkr.ecr.<region>.amazonaws.com or public.ecr.aws";
    problems.push({ field: "url", reason: reasonOfHost(url, `An aws entry is for a host of Amazon ECR: ${forms}.`) });
  }
  checkRegion(fields, ecr?.region, remarks);
  if (fields.profile !== undefined && !profilePattern.test(fields.profile)) {
    const reason =
      "A profile has letters, digits and _ . @ + - only, at most 128, the first a letter, digit or underscore.";
    problems.push({ field: "profile", reason });
  }
  const region = fields.region ?? ecr?.region;
  if (region === undefined) return undefined;
  const profile = fields.profile === undefined ? {} : { profile: fields.profile };
  if (url !== undefined) return { type: "aws", id: url, host: url, region, ...profile };
  return { type: "aws", id: ["aws", region, ...Object.values(profile)].join(":"), region, ...profile };
}

function checkRegion(fields: EntryFields, regionOfHost: string | undefined, { problems, warnings }: Remarks): void {
  const unknown = [fields.region, regionOfHost].find((region) => region !== undefined && !isKnownAwsRegion(region));
  if (fields.region === undefined) {
    if (unknown !== undefined) warnings.push({ field: "url", reason: reasonOfUnknownRegion(unknown) });
    if (regionOfHost !== undefined || fields.url !== undefined) return;
    problems.push({
      field: "region",
      reason: "An aws entry needs a region (for example us-east-2), or a url that tells it.",
    });
  } else if (!awsRegionPattern.test(fields.region) || fields.region.length > maxRegionLength) {
    const meant = nearestAwsRegion(fields.region);
    const reason = `An AWS region looks like us-east-2.${meant === undefined ? "" : ` Did you mean ${meant}?`}`;
    problems.push({ field: "region", reason });
  } else if (regionOfHost !== undefined && fields.region !== regionOfHost) {
    const reason = `The region does not fit the host, which is in ${regionOfHost}. Write that, or leave the region out.`;
    problems.push({ field: "region", reason });
  } else if (unknown !== undefined) {
    warnings.push({ field: "region", reason: reasonOfUnknownRegion(unknown) });
  }
}

/** A warning, because AWS opens regions more often than people update this service. */
function reasonOfUnknownRegion(region: string): string {
  const meant = nearestAwsRegion(region);
  const found = meant === undefined ? "The AWS region is not known" : `The AWS region "${region}" is not known`;
  return `${found}${meant === undefined ? "." : `; did you mean ${meant}?`} If AWS has opened it recently, keep it.`;
}

/** Why a host cannot be that of a cloud's entry: with the right host where that is known. */
function reasonOfHost(host: string, forms: string): string {
  return rightHostFor(host) ?? `${forms} For another, use type generic.`;
}

function checkAzure(fields: EntryFields, problems: FieldRemark[]): Registry {
  const host = readHost(fields, problems);
  if (host !== undefined && acrHost(host) === undefined) {
    const forms = "An azure entry is for a host of Azure Container Registry: <name>.azurecr.io (.cn, .us).";
    problems.push({ field: "url", reason: reasonOfHost(host, forms) });
  }
  const tenantId = fields.azureTenantId?.toLowerCase();
  if (tenantId !== undefined && !uuidPattern.test(tenantId) && !domain.test(tenantId)) {
    const reason = "A tenant is a UUID or a domain such as example.onmicrosoft.com.";
    problems.push({ field: "azureTenantId", reason });
  }
  const tenant = tenantId === undefined ? {} : { tenantId };
  return { type: "azure", id: host ?? "azure", ...(host === undefined ? {} : { host }), ...tenant };
}

function checkGar(fields: EntryFields, problems: FieldRemark[]): Registry {
  if (fields.url !== undefined && fields.hosts !== undefined) {
    problems.push({ field: "hosts", reason: "A gar entry has a url or hosts, not both. Add the url to the hosts." });
  }
  const written: [FieldRemark, string][] = [];
  if (fields.url !== undefined) written.push([{ field: "url", reason: "" }, fields.url]);
  for (const [index, host] of (fields.hosts ?? []).entries())
    written.push([{ field: "hosts", index, reason: "" }, host]);
  if (fields.hosts?.length === 0) {
    problems.push({
      field: "hosts",
      reason: "The list of hosts is empty. Name a host, or leave the key out for every host.",
    });
  }
  if (written.length > maxHosts) {
    problems.push({
      field: "hosts",
      reason: `The list has more than ${maxHosts} hosts. Leave the key out for every host.`,
    });
  }
  const hosts: string[] = [];
  for (const [place, text] of written) {
    const normalised = normaliseHost(text);
    const reason = normalised.ok ? reasonOfGarHost(normalised.host, hosts) : normalised.reason;
    if (normalised.ok) hosts.push(normalised.host);
    if (reason !== undefined) problems.push({ ...place, reason });
  }
  return { type: "gar", id: hosts[0] ?? "gar", hosts };
}

function reasonOfGarHost(host: string, before: readonly string[]): string | undefined {
  if (before.includes(host)) return "This host stands in the list already.";
  if (isGarHost(host)) return undefined;
  const forms = "A gar entry is for hosts of Google Artifact Registry: <location>-docker.pkg.dev or gcr.io.";
  return reasonOfHost(host, forms);
}

function checkGeneric(fields: EntryFields, remarks: Remarks): Registry | undefined {
  const host = readHost(fields, remarks.problems);
  if (fields.url === undefined) {
    remarks.problems.push({
      field: "url",
      reason: "A generic entry needs a url: the registry's host, for example ghcr.io.",
    });
  }
  if (host === undefined) return undefined;
  const cloud = cloudOfHost(host);
  if (cloud !== undefined) {
    const reason = `This host belongs to a cloud of its own: with type ${cloud} its tokens are narrower and better protected.`;
    remarks.warnings.push({ field: "url", reason });
  }
  const remark = cloud === undefined ? rightHostFor(host) : undefined;
  if (remark !== undefined) remarks.warnings.push({ field: "url", reason: remark });
  return { type: "generic", id: host, host, passThrough: fields.passThrough ?? false };
}

function readHost(fields: EntryFields, problems: FieldRemark[]): string | undefined {
  if (fields.url === undefined) return undefined;
  const normalised = normaliseHost(fields.url);
  if (normalised.ok) return normalised.host;
  problems.push({ field: "url", reason: normalised.reason });
  return undefined;
}
