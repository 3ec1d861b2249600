// The very hosts that STS and ECR answer on. A suffix would not do: `*.s3.amazonaws.com` and
// `ec2-*.compute.amazonaws.com` belong to whoever rents them.
const serviceHost =
  /^(?:sts|sts-fips|api\.ecr|api\.ecr-fips|ecr-fips|api\.ecr-public)\.[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?$/;

// IAM has one host for each partition (AWS General Reference, "IAM endpoints and quotas").
const iamHosts: ReadonlySet<string> = new Set([
  "iam.amazonaws.com",
  "iam.cn-north-1.amazonaws.com.cn",
  "iam.us-gov.amazonaws.com",
]);

/** Says whether AWS credentials may be sent to the host. */
export function isAwsServiceHost(host: string): boolean {
  return serviceHost.test(host) || iamHosts.has(host);
}
