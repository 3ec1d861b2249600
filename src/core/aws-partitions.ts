import { nearestName } from "./nearest-name.js";

/**
 * AWS's partitions: groups of regions with accounts, ARNs and host names of their own. Everything that saves or sends
 * reads this one table. A test compares it with the partitions of the AWS SDK that is installed, which chooses the
 * hosts that are called.
 */
export const awsPartitions = [
  {
    id: "aws",
    dnsSuffix: "amazonaws.com",
    dualStackDnsSuffix: "api.aws",
    iamHost: "iam.amazonaws.com",
    iamRegion: "us-east-1",
    regionPattern: /^(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+$/,
    regions: [
      ...["af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"],
      ...["ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4"],
      ...["ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1"],
      ...["eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2"],
      ...["eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "me-west-1"],
      ...["mx-central-1", "sa-east-1", "sa-west-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"],
    ],
  },
  {
    id: "aws-cn",
    dnsSuffix: "amazonaws.com.cn",
    dualStackDnsSuffix: "api.amazonwebservices.com.cn",
    iamHost: "iam.cn-north-1.amazonaws.com.cn",
    iamRegion: "cn-north-1",
    regionPattern: /^cn-\w+-\d+$/,
    regions: ["cn-north-1", "cn-northwest-1"],
  },
  {
    id: "aws-eusc",
    dnsSuffix: "amazonaws.eu",
    dualStackDnsSuffix: "api.amazonwebservices.eu",
    iamHost: "iam.eusc-de-east-1.amazonaws.eu",
    iamRegion: "eusc-de-east-1",
    regionPattern: /^eusc-(de)-\w+-\d+$/,
    regions: ["eusc-de-east-1"],
  },
  {
    id: "aws-iso",
    dnsSuffix: "c2s.ic.gov",
    dualStackDnsSuffix: "api.aws.ic.gov",
    iamHost: "iam.us-iso-east-1.c2s.ic.gov",
    iamRegion: "us-iso-east-1",
    regionPattern: /^us-iso-\w+-\d+$/,
    regions: ["us-iso-east-1", "us-iso-west-1"],
  },
  {
    id: "aws-iso-b",
    dnsSuffix: "sc2s.sgov.gov",
    dualStackDnsSuffix: "api.aws.scloud",
    iamHost: "iam.us-isob-east-1.sc2s.sgov.gov",
    iamRegion: "us-isob-east-1",
    regionPattern: /^us-isob-\w+-\d+$/,
    regions: ["us-isob-east-1", "us-isob-west-1"],
  },
  {
    id: "aws-iso-e",
    dnsSuffix: "cloud.adc-e.uk",
    dualStackDnsSuffix: "api.cloud-aws.adc-e.uk",
    iamHost: "iam.eu-isoe-west-1.cloud.adc-e.uk",
    iamRegion: "eu-isoe-west-1",
    regionPattern: /^eu-isoe-\w+-\d+$/,
    regions: ["eu-isoe-west-1"],
  },
  {
    id: "aws-iso-f",
    dnsSuffix: "csp.hci.ic.gov",
    dualStackDnsSuffix: "api.aws.hci.ic.gov",
    iamHost: "iam.us-isof-south-1.csp.hci.ic.gov",
    iamRegion: "us-isof-south-1",
    regionPattern: /^us-isof-\w+-\d+$/,
    regions: ["us-isof-east-1", "us-isof-south-1"],
  },
  {
    id: "aws-us-gov",
    dnsSuffix: "amazonaws.com",
    dualStackDnsSuffix: "api.aws",
    iamHost: "iam.us-gov.amazonaws.com",
    iamRegion: "us-gov-west-1",
    regionPattern: /^us-gov-\w+-\d+$/,
    regions: ["us-gov-east-1", "us-gov-west-1"],
  },
] as const satisfies readonly {
  id: string;
  /** What the names of its hosts end in. */
  dnsSuffix: string;
  /** The same for hosts that answer over IPv4 and IPv6. */
  dualStackDnsSuffix: string;
  /** IAM is one service for the whole partition, */
  iamHost: string;
  /** and its calls are signed for this region. */
  iamRegion: string;
  /** Regions of the future, too. */
  regionPattern: RegExp;
  regions: readonly string[];
}[];

export type AwsPartition = (typeof awsPartitions)[number];
export type AwsPartitionId = AwsPartition["id"];

/** `us-east-2`, `us-gov-west-1`, `eusc-de-east-1`: the form of an AWS region's name, as part of a pattern. */
export const awsRegionForm = "[a-z]{2,4}(?:-[a-z]+)+-\\d{1,2}";
export const awsRegionPattern = new RegExp(`^${awsRegionForm}$`);

/** The ids of all partitions, as part of the pattern of an ARN: `arn:(?:aws|aws-cn|...):...`. */
export const awsPartitionForm = `(?:${awsPartitions.map(({ id }) => id).join("|")})`;

const partitionOfRegion = new Map<string, AwsPartition>(
  awsPartitions.flatMap((partition) => partition.regions.map((region) => [region, partition] as const)),
);
const regionNames = [...partitionOfRegion.keys()];

/** The partition of a region, by the rule of the AWS SDK: a region that fits none is of the partition `aws`. */
export function awsPartitionOf(region: string): AwsPartition {
  const known = partitionOfRegion.get(region);
  return known ?? awsPartitions.find(({ regionPattern }) => regionPattern.test(region)) ?? awsPartitions[0];
}

/** Whether AWS had this region when this table was made. A newer one works all the same. */
export function isKnownAwsRegion(region: string): boolean {
  return partitionOfRegion.has(region);
}

/** The region that a text is a misspelling of: `us-east-2` for `us-east-22`, `US-East-2` and `us-east-2a`. */
export function nearestAwsRegion(text: string): string | undefined {
  return nearestName(text, regionNames);
}
