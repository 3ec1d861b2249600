import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { isAwsServiceHost } from "../../../../src/broker/providers/aws/clients.js";
import {
  awsPartitionForm,
  awsPartitionOf,
  awsPartitions,
  awsRegionPattern,
  isKnownAwsRegion,
  nearestAwsRegion,
} from "../../../../src/core/aws-partitions.js";

const SdkPartitions = z.object({
  partitions: z.array(
    z.object({
      id: z.string(),
      regionRegex: z.string(),
      regions: z.record(z.string(), z.unknown()),
      outputs: z.object({ dnsSuffix: z.string(), dualStackDnsSuffix: z.string() }),
    }),
  ),
});

/** The partitions of the AWS SDK that is installed. It exports functions that read them, not the table itself. */
async function sdkPartitions() {
  const core = dirname(createRequire(import.meta.url).resolve("@aws-sdk/core/package.json"));
  const file = join(core, "dist-es/submodules/client/util-endpoints/lib/aws/partitions.js");
  const literal = (await readFile(file, "utf8")).replace(/^export const partitionsInfo = /, "").replace(/;\s*$/, "");
  return SdkPartitions.parse(runInNewContext(`(${literal})`)).partitions;
}

const resolvers = async () => ({
  ecr: new (await import("@aws-sdk/client-ecr")).ECRClient({ region: "us-east-1" }).config,
  "ecr-public": new (await import("@aws-sdk/client-ecr-public")).ECRPUBLICClient({ region: "us-east-1" }).config,
  sts: new (await import("@aws-sdk/client-sts")).STSClient({ region: "us-east-1" }).config,
  iam: new (await import("@aws-sdk/client-iam")).IAMClient({ region: "us-east-1" }).config,
});

/** As the service's own clients ask: never for the global host of STS. */
const parametersOf = (region: string, useFips: boolean, useDualStack: boolean) => ({
  Region: region,
  UseFIPS: useFips,
  UseDualStack: useDualStack,
  UseGlobalEndpoint: false,
});

const everyRegion = awsPartitions.flatMap(({ regions }) => [...regions]);
const allOfThem = [...everyRegion, "us-east-9", "eusc-de-west-2", "us-isob-north-1", "nz-north-1"];

describe("the table of AWS's partitions", () => {
  it("is the AWS SDK's: ids, domains, regions and the rule for new regions", async () => {
    const ours = awsPartitions.map(({ id, dnsSuffix, dualStackDnsSuffix, regionPattern, regions }) => ({
      ...{ id, dnsSuffix, dualStackDnsSuffix },
      regionPattern: regionPattern.source,
      regions: [...regions].sort(),
    }));
    const theirs = (await sdkPartitions()).map(({ id, outputs, regionRegex, regions }) => ({
      ...{ id, dnsSuffix: outputs.dnsSuffix, dualStackDnsSuffix: outputs.dualStackDnsSuffix },
      regionPattern: regionRegex.replaceAll("\\-", "-"),
      // The rest are the names that the SDK has for a whole partition.
      regions: Object.keys(regions)
        .filter((region) => !region.endsWith("-global"))
        .sort(),
    }));
    expect(ours).toEqual(theirs);
  });

  it("gives the partition that the AWS SDK gives, for regions that it knows and for others", async () => {
    const { partition } = await import("@aws-sdk/core/client");
    for (const region of allOfThem) {
      const { dnsSuffix, dualStackDnsSuffix } = partition(region);
      expect(awsPartitionOf(region)).toMatchObject({ dnsSuffix, dualStackDnsSuffix, id: partition(region).name });
    }
  });

  it("has regions and ids of the form that is accepted", () => {
    for (const region of everyRegion) expect(region).toMatch(awsRegionPattern);
    for (const { id } of awsPartitions) expect(id).toMatch(new RegExp(`^${awsPartitionForm}$`));
  });

  it("permits every host that the AWS SDK calls STS, ECR and ECR Public at, with FIPS and with IPv6", async () => {
    const { ecr, sts, "ecr-public": ecrPublic } = await resolvers();
    const refused: string[] = [];
    for (const region of allOfThem) {
      for (const [useFips, useDualStack] of [
        [false, false],
        [true, false],
        [false, true],
        [true, true],
      ] as const) {
        const parameters = parametersOf(region, useFips, useDualStack);
        const urls = [ecr, sts, ecrPublic].map((config) => config.endpointProvider(parameters).url.hostname);
        refused.push(...urls.filter((host) => !isAwsServiceHost(host)));
      }
    }
    expect(refused).toEqual([]);
  });

  it("has the host and the signing region of IAM of each partition", async () => {
    const { iam } = await resolvers();
    for (const { iamHost, iamRegion, regions } of awsPartitions) {
      for (const region of regions) {
        const { url, properties } = iam.endpointProvider(parametersOf(region, false, false));
        expect(url.hostname).toBe(iamHost);
        expect(properties?.authSchemes).toMatchObject([{ name: "sigv4", signingRegion: iamRegion }]);
      }
    }
  });

  it.each([
    "s3.us-east-2.amazonaws.com",
    "sts.us-east-2.amazonaws.com.cn",
    "sts.cn-north-1.amazonaws.com",
    "sts.eusc-de-east-1.amazonaws.com",
    "sts.us-east-2.amazonaws.eu",
    "sts.us-east-2.api.aws.evil.example",
    "sts.us-east-2.on.aws",
    "evil.sts.us-east-2.amazonaws.com",
    "api.ecr.us-iso-east-1.amazonaws.com",
    "iam.us-east-2.amazonaws.com",
    "sts.amazonaws.com",
    "amazonaws.com",
  ])("does not permit %s", (host) => {
    expect(isAwsServiceHost(host)).toBe(false);
  });

  it.each([
    ["us-east-22", "us-east-2"],
    ["us-est-1", "us-east-1"],
    ["US-EAST-2", "us-east-2"],
    ["us-east-2a", "us-east-2"],
    ["us_east_2", "us-east-2"],
    ["eusc-de-east-2", "eusc-de-east-1"],
    ["us-gov-wets-1", "us-gov-west-1"],
    ["qq-nowhere-7", undefined],
  ])("knows what is meant by %s", (text, meant) => {
    expect(isKnownAwsRegion(text)).toBe(false);
    expect(nearestAwsRegion(text)).toBe(meant);
  });
});
