import {
  awsPartitionForm,
  awsPartitionOf,
  awsRegionPattern,
  isKnownAwsRegion,
  nearestAwsRegion,
} from "../core/aws-partitions.js";
import { acrHost, cloudOfHost, ecrHost, isGarHost } from "../core/cloud-hosts.js";
import { normaliseHost } from "../core/normalise-host.js";
import { maxHosts, maxRegionLength, profilePattern } from "./contract.js";
import {
  type AwsEntry,
  type AzureEntry,
  type GarEntry,
  type GenericEntry,
  principalOf,
  type RegistryEntry,
  type RegistryType,
} from "./entry.js";
import { rightHostFor } from "./remarks.js";

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
  if (before.includes(host)) return "This host is in the list already.";
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

/** The field that says, by the type of the entry, who opens its registry in the place of a secret. */
export const principalFieldOf = {
  aws: "awsRoleArn",
  azure: "azureClientId",
  gar: "garWorkloadIdentityProvider",
  generic: undefined,
} as const satisfies Record<RegistryType, EntryField | undefined>;

/** The fields that only a keyless entry has. `azureTenantId` is of both kinds. */
export const keylessFieldsOf: Readonly<Record<RegistryType, readonly (keyof EntryFields)[]>> = {
  aws: ["awsRoleArn"],
  azure: ["azureClientId"],
  gar: ["garWorkloadIdentityProvider", "garServiceAccount"],
  generic: [],
};

/**
 * The longest id of a keyless entry. It is the end of the subject of what we sign, of which Google takes 127 characters
 * (`google.subject`), AWS 255 and Entra 600. `subjectOf` has 51 in front.
 */
export const maxKeylessIdLength = 76;

/** A UUID, in either case. */
export const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const rolePattern = new RegExp(`^arn:(${awsPartitionForm}):iam::[0-9]{12}:role/[\\w+=,.@/-]{1,512}$`);
const providerPattern =
  /^projects\/[0-9]{1,20}\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/;
const accountPattern = /^[a-z0-9][a-z0-9-]{0,62}@[a-z0-9](?:[a-z0-9.-]{0,120}[a-z0-9])?\.gserviceaccount\.com$/;

type Principal =
  | { roleArn: string }
  | { clientId: string }
  | { workloadIdentityProvider: string; serviceAccount?: string }
  | Record<never, never>;

/** Checks what is in the place of a secret, and gives it in the form that an entry has it in. */
export function checkKeyless(
  type: RegistryType,
  fields: EntryFields,
  { hasSecret, registry }: { hasSecret: boolean; registry: Registry | undefined },
): { principal: Principal; problems: FieldRemark[] } {
  const problems: FieldRemark[] = [];
  const field = keylessFieldsOf[type].find((known) => fields[known] !== undefined);
  if (field === undefined) return { principal: {}, problems };
  if (hasSecret) {
    const reason =
      "The entry names a secret as well. Either a secret opens a registry, or a principal that trusts this factory: keep one of the two.";
    problems.push({ field, reason });
  }
  if (registry !== undefined && registry.id.length > maxKeylessIdLength) {
    const reason = `The host is longer than ${maxKeylessIdLength} characters, so Google and others would not take the subject that it makes. Use a secret for this entry.`;
    problems.push({ field: "url", reason });
  }
  return { principal: checkPrincipal(type, fields, registry, problems), problems };
}

function checkPrincipal(
  type: RegistryType,
  fields: EntryFields,
  registry: Registry | undefined,
  problems: FieldRemark[],
): Principal {
  switch (type) {
    case "aws":
      return checkRole(fields, registry, problems);
    case "azure":
      return checkClient(fields, problems);
    case "gar":
      return checkProvider(fields, problems);
    case "generic":
      return {};
    default:
      return type satisfies never;
  }
}

function checkRole(fields: EntryFields, registry: Registry | undefined, problems: FieldRemark[]): Principal {
  const { awsRoleArn } = fields;
  if (awsRoleArn === undefined) return {};
  if (fields.profile !== undefined) {
    problems.push({
      field: "profile",
      reason: "A profile is a section of a secret, and this entry has a role instead.",
    });
  }
  const partition = rolePattern.exec(awsRoleArn)?.[1];
  const region = registry?.type === "aws" ? registry.region : undefined;
  if (partition === undefined) {
    problems.push({ field: "awsRoleArn", reason: "A role looks like arn:aws:iam::123456789012:role/pull." });
  } else if (region !== undefined && awsPartitionOf(region).id !== partition) {
    const reason = `The role is of another partition than the region, which is of ${awsPartitionOf(region).id}.`;
    problems.push({ field: "awsRoleArn", reason });
  }
  return { roleArn: awsRoleArn };
}

function checkClient(fields: EntryFields, problems: FieldRemark[]): Principal {
  const { azureClientId, azureTenantId } = fields;
  if (azureClientId === undefined) return {};
  if (!uuidPattern.test(azureClientId)) {
    const reason = "A client id is a UUID: the application (client) id of an app registration or managed identity.";
    problems.push({ field: "azureClientId", reason });
  }
  if (azureTenantId === undefined) {
    const reason = "An entry with a client id needs the tenant that it signs in to: a UUID or a domain.";
    problems.push({ field: "azureTenantId", reason });
  }
  return { clientId: azureClientId.toLowerCase() };
}

function checkProvider(fields: EntryFields, problems: FieldRemark[]): Principal {
  const { garServiceAccount } = fields;
  const provider = fields.garWorkloadIdentityProvider?.replace(/^(?:https:)?\/\/iam\.googleapis\.com\//, "");
  if (provider === undefined || !providerPattern.test(provider)) {
    const form = "projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>";
    const reason = `A workload identity provider is ${form}, with the number of the project, not its id.`;
    problems.push({ field: "garWorkloadIdentityProvider", reason });
  }
  if (garServiceAccount !== undefined && !accountPattern.test(garServiceAccount)) {
    const reason = "A service account looks like pull@project.iam.gserviceaccount.com.";
    problems.push({ field: "garServiceAccount", reason });
  }
  if (provider === undefined) return {};
  const account = garServiceAccount === undefined ? {} : { serviceAccount: garServiceAccount };
  return { workloadIdentityProvider: provider, ...account };
}
