/** A registry host of AWS, taken apart. */
export type AwsRegistry =
  | { kind: "private"; accountId: string; region: string; partition: string; isFips: boolean }
  | { kind: "public" };

const plainHost = /^([0-9]{12})\.dkr\.ecr(-fips)?\.([a-z]{2,}(?:-[a-z0-9]+)+)\.amazonaws\.(?:com(?:\.cn)?|eu)$/;
const dualStackHost =
  /^([0-9]{12})\.dkr-ecr(-fips)?\.([a-z]{2,}(?:-[a-z0-9]+)+)\.on\.(?:aws|amazonwebservices\.(?:com\.cn|eu))$/;

// The very hosts that STS and ECR answer on. A suffix would not do: `*.s3.amazonaws.com` and
// `ec2-*.compute.amazonaws.com` belong to whoever rents them.
const serviceHost =
  /^(?:sts|sts-fips|api\.ecr|api\.ecr-fips|ecr|api\.ecr-public)\.[a-z]{2,}(?:-[a-z0-9]+)+\.(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu)$/;

/** Takes a registry host apart, or gives `undefined` when it is none of AWS. */
export function parseAwsRegistryHost(host: string): AwsRegistry | undefined {
  if (host === "public.ecr.aws") return { kind: "public" };
  const [, accountId, fips, region] = plainHost.exec(host) ?? dualStackHost.exec(host) ?? [];
  if (accountId === undefined || region === undefined) return undefined;
  return { kind: "private", accountId, region, partition: partitionOfRegion(region), isFips: fips !== undefined };
}

/** Says whether AWS credentials may be sent to the host. */
export function isAwsServiceHost(host: string): boolean {
  return serviceHost.test(host);
}

/** The form of a region; it becomes part of a host name, so nothing else may stand there. */
export function isAwsRegion(region: string): boolean {
  return /^[a-z]{2,}(?:-[a-z0-9]+)+$/.test(region);
}

/** The partition that a region belongs to, as in ARNs. */
export function partitionOfRegion(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn";
  if (region.startsWith("us-gov-")) return "aws-us-gov";
  if (region.startsWith("eusc-")) return "aws-eusc";
  return "aws";
}
