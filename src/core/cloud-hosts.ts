import { type AwsPartitionId, awsPartitionOf, awsRegionForm } from "./aws-partitions.js";
import { type AzureCloudName, azureCloudNames, azureClouds } from "./azure-clouds.js";

/** What the host of an Amazon registry tells. ECR Public has no account of its own. */
export type EcrHost =
  | { public: false; account: string; region: string; partition: AwsPartitionId; fips: boolean }
  | { public: true; region: "us-east-1"; partition: "aws"; fips: false };

/** Which Azure cloud an ACR host belongs to: it decides where its principal signs in. */
export type AcrHost = { name: string; cloud: AzureCloudName };

export const ecrPublicHost = "public.ecr.aws";

// The second name also answers over IPv6 (Amazon ECR Public User Guide, "Making requests to Amazon ECR Public registries").
const ecrPublicHosts: readonly string[] = [ecrPublicHost, "ecr-public.aws.com"];

const ecrPattern = new RegExp(`^(\\d{12})\\.dkr([.-])ecr(-fips)?\\.(${awsRegionForm})\\.([a-z0-9.-]+)$`);
// Of a registry with geo-replication each replica has a login server of its own: <name>.<region>.geo.azurecr.io (Azure/acr,
// docs, "Regional endpoints"). <name>.<region>.data.azurecr.io is not one: layers are fetched from it, without a token.
const acrPattern =
  /^(?!(?:geo|data|privatelink)\.)([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9]{1,63}\.geo)?\.(azurecr\.[a-z]+)$/;
// The group is the location.
const garPatterns = [
  /^([a-z]+(?:-[a-z]+\d+)?)-docker\.pkg\.dev$/,
  /^docker\.([a-z]+-[a-z]+\d+)\.rep\.pkg\.dev$/,
  /^(?:(?:us|eu|asia)\.)?gcr\.io$/,
];

/**
 * Reads a normalised host as one of Amazon ECR or ECR Public; `undefined` for any other. In the partition `aws` a host
 * is `<account>.dkr.ecr[-fips].<region>.amazonaws.com` or, with IPv6, `<account>.dkr-ecr[-fips].<region>.on.aws`; each
 * region has hosts below the domains of its own partition only. AWS credentials and tokens may go to no host that this
 * function does not know.
 */
export function ecrHost(host: string): EcrHost | undefined {
  if (ecrPublicHosts.includes(host)) return { public: true, region: "us-east-1", partition: "aws", fips: false };
  const [, account, separator, fips, region, suffix] = ecrPattern.exec(host) ?? [];
  if (account === undefined || region === undefined || suffix !== ecrSuffix(region, separator === "-"))
    return undefined;
  return { public: false, account, region, partition: awsPartitionOf(region).id, fips: fips !== undefined };
}

/** What the hosts of a region's registries end in. Those with IPv6 have their services' domain with `on.` for `api.`. */
export function ecrSuffix(region: string, isDualStack: boolean): string {
  const { dnsSuffix, dualStackDnsSuffix } = awsPartitionOf(region);
  return isDualStack ? dualStackDnsSuffix.replace(/^api\./, "on.") : dnsSuffix;
}

/** Reads a normalised host as the login server of an Azure container registry; `undefined` for any other. */
export function acrHost(host: string): AcrHost | undefined {
  const [, name, domain] = acrPattern.exec(host) ?? [];
  const cloud = azureCloudNames.find((known) => azureClouds[known].registryDomain === domain);
  return name === undefined || cloud === undefined ? undefined : { name, cloud };
}

/** Says whether a normalised host is one of Google Artifact Registry, `gcr.io` included. */
export function isGarHost(host: string): boolean {
  return garPatterns.some((pattern) => pattern.test(host));
}

/** The location that a host of Artifact Registry names; `undefined` for `gcr.io` and for any other host. */
export function garLocation(host: string): string | undefined {
  return garPatterns.flatMap((pattern) => pattern.exec(host)?.[1] ?? [])[0];
}

/** The type of entry that is made for a normalised host of a cloud; `undefined` when it belongs to none of them. */
export function cloudOfHost(host: string): "aws" | "azure" | "gar" | undefined {
  if (ecrHost(host) !== undefined) return "aws";
  if (acrHost(host) !== undefined) return "azure";
  return isGarHost(host) ? "gar" : undefined;
}
