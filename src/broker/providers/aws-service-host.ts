import { awsPartitionOf, awsPartitions, awsRegionForm } from "../../core/aws-partitions.js";

// The very hosts that STS, ECR and ECR Public answer on. A suffix would not do: `*.s3.amazonaws.com` and
// `ec2-*.compute.amazonaws.com` belong to whoever rents them.
const serviceNames = {
  dnsSuffix: ["sts", "sts-fips", "api.ecr", "api.ecr-fips", "ecr-fips", "api.ecr-public", "api.ecr-public-fips"],
  dualStackDnsSuffix: [
    ...["sts", "sts-fips", "ecr", "ecr-fips", "api.ecr", "api.ecr-fips"],
    ...["ecr-public", "api.ecr-public", "api.ecr-public-fips"],
  ],
} as const satisfies Record<string, readonly string[]>;

const serviceHost = new RegExp(`^([a-z.-]+)\\.(${awsRegionForm})\\.([a-z0-9.-]+)$`);

// IAM has one host for each partition (AWS General Reference, "IAM endpoints and quotas").
const iamHosts: ReadonlySet<string> = new Set(awsPartitions.map(({ iamHost }) => iamHost));

/** Says whether AWS credentials may be sent to the host. */
export function isAwsServiceHost(host: string): boolean {
  if (iamHosts.has(host)) return true;
  const [, name = "", region = "", suffix] = serviceHost.exec(host) ?? [];
  const partition = awsPartitionOf(region);
  return (
    (suffix === partition.dnsSuffix && isOneOf(serviceNames.dnsSuffix, name)) ||
    (suffix === partition.dualStackDnsSuffix && isOneOf(serviceNames.dualStackDnsSuffix, name))
  );
}

function isOneOf(names: readonly string[], name: string): boolean {
  return names.includes(name);
}
