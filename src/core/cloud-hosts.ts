/** What the host of an Amazon registry tells. ECR Public has no account of its own. */
export type EcrHost =
  | { public: false; account: string; region: string; partition: AwsPartition; fips: boolean }
  | { public: true; region: "us-east-1"; partition: "aws"; fips: false };

export type AwsPartition = "aws" | "aws-cn" | "aws-us-gov";

/** Which Azure cloud an ACR host belongs to: it decides where its principal signs in. */
export type AcrHost = { name: string; cloud: "public" | "china" | "us-government" };

export const ecrPublicHost = "public.ecr.aws";

const ecrPattern = /^(\d{12})\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$/;
const ecrDualStackPattern = /^(\d{12})\.dkr-ecr(-fips)?\.([a-z0-9-]+)\.on\.aws$/;
const acrPattern = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.azurecr\.(io|cn|us)$/;
const acrClouds = { io: "public", cn: "china", us: "us-government" } as const;
const garPatterns = [
  /^[a-z]+(?:-[a-z]+\d+)?-docker\.pkg\.dev$/,
  /^docker\.[a-z]+-[a-z]+\d+\.rep\.pkg\.dev$/,
  /^(?:(?:us|eu|asia)\.)?gcr\.io$/,
];

/** `us-east-2`, `us-gov-west-1`, `cn-north-1`: the form of an AWS region's name. */
export const awsRegionPattern = /^[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}$/;

/** The partition whose ARNs a region's registries have. */
export function awsPartitionOf(region: string): AwsPartition {
  if (region.startsWith("cn-")) return "aws-cn";
  if (region.startsWith("us-gov-")) return "aws-us-gov";
  return "aws";
}

/**
 * Reads a normalised host as one of Amazon ECR (`<account>.dkr.ecr[-fips].<region>.amazonaws.com[.cn]`,
 * `<account>.dkr-ecr[-fips].<region>.on.aws`) or ECR Public; `undefined` for any other. AWS credentials and tokens may
 * go to no host that this function does not know.
 */
export function ecrHost(host: string): EcrHost | undefined {
  if (host === ecrPublicHost) return { public: true, region: "us-east-1", partition: "aws", fips: false };
  const [, account, fips, region, china] = ecrPattern.exec(host) ?? ecrDualStackPattern.exec(host) ?? [];
  if (account === undefined || region === undefined || !awsRegionPattern.test(region)) return undefined;
  const partition = awsPartitionOf(region);
  // Only China's regions have names below amazonaws.com.cn, and they have no others.
  if ((partition === "aws-cn") !== (china !== undefined)) return undefined;
  return { public: false, account, region, partition, fips: fips !== undefined };
}

/** Reads a normalised host as the login server of an Azure container registry; `undefined` for any other. */
export function acrHost(host: string): AcrHost | undefined {
  const [, name, domain] = acrPattern.exec(host) ?? [];
  if (name === undefined) return undefined;
  if (domain === "io" || domain === "cn" || domain === "us") return { name, cloud: acrClouds[domain] };
  return undefined;
}

/** Says whether a normalised host is one of Google Artifact Registry, `gcr.io` included. */
export function isGarHost(host: string): boolean {
  return garPatterns.some((pattern) => pattern.test(host));
}

/** The type of entry that is made for a normalised host of a cloud; `undefined` when it belongs to none of them. */
export function cloudOfHost(host: string): "aws" | "azure" | "gar" | undefined {
  if (ecrHost(host) !== undefined) return "aws";
  if (acrHost(host) !== undefined) return "azure";
  return isGarHost(host) ? "gar" : undefined;
}
