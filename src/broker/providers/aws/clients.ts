import { awsPartitionOf, awsPartitions, awsRegionForm } from "../../../core/aws-partitions.js";
import { guardedHandler } from "../../../outbound/aws-http-handler.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import type { AwsKeys } from "./credentials-file.js";

/**
 * The configuration of every AWS client. Each setting that the SDK would otherwise look up in the environment, in
 * `~/.aws` or at a metadata service is given here, so that it looks nowhere: the keys are a tenant's and the machine's
 * own identity must not stand in for them.
 */
export function awsClientConfig(
  outbound: CloudOutbound,
  options: { region: string; keys: AwsKeys | undefined; isFips: boolean },
) {
  return {
    region: options.region,
    credentials: credentialsOf(options.keys),
    requestHandler: guardedHandler(outbound),
    ignoreConfiguredEndpointUrls: true,
    useFipsEndpoint: options.isFips,
    useDualstackEndpoint: false,
    defaultsMode: "standard" as const,
    retryMode: "standard",
    maxAttempts: 3,
    authSchemePreference: ["aws.auth#sigv4"],
    sigv4aSigningRegionSet: [],
    userAgentAppId: "factory-secrets",
    disableClockSkewCorrection: false,
  };
}

// Without keys only calls are made that no one signs. Were one signed after all, it must not be by what the SDK finds.
export function credentialsOf(keys: AwsKeys | undefined) {
  if (keys === undefined) return () => Promise.reject(new Error("this call is not signed"));
  const { accessKeyId, secretAccessKey, sessionToken } = keys;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

// The very hosts that STS, ECR and ECR Public answer on. A suffix would not do: `*.s3.amazonaws.com` and
// `ec2-*.compute.amazonaws.com` belong to the one who rents them.
export const serviceNames = {
  dnsSuffix: ["sts", "sts-fips", "api.ecr", "api.ecr-fips", "ecr-fips", "api.ecr-public", "api.ecr-public-fips"],
  dualStackDnsSuffix: [
    ...["sts", "sts-fips", "ecr", "ecr-fips", "api.ecr", "api.ecr-fips"],
    ...["ecr-public", "api.ecr-public", "api.ecr-public-fips"],
  ],
} as const satisfies Record<string, readonly string[]>;

export const serviceHost = new RegExp(`^([a-z.-]+)\\.(${awsRegionForm})\\.([a-z0-9.-]+)$`);

// IAM has one host for each partition (AWS General Reference, "IAM endpoints and quotas").
export const iamHosts: ReadonlySet<string> = new Set(awsPartitions.map(({ iamHost }) => iamHost));

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

export function isOneOf(names: readonly string[], name: string): boolean {
  return names.includes(name);
}
