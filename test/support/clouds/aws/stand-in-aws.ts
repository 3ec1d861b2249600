import type { Clock } from "../clock.js";
import { type CloudEndpoint, type CloudRequest, createCloudEndpoint, formOf } from "../cloud-endpoint.js";
import type { EndpointRegister } from "../endpoint-register.js";
import { throttledRegistry } from "../registry-v2.js";
import type { WebIdentityVerifier } from "../web-identity.js";
import { answerEcr, type IssuedPassword, privateEcr, publicEcr, throttledEcr } from "./answer-ecr.js";
import { answerIam, throttledIam } from "./answer-iam.js";
import { answerKms, KmsKeys, throttledKms } from "./answer-kms.js";
import { answerSts, throttledSts } from "./answer-sts.js";
import type { WebIdentityDeps } from "./assume-with-web-identity.js";
import { answerEcrRegistry } from "./ecr-registry.js";
import type { EcrRepositories } from "./ecr-repositories.js";
import { IamDirectory } from "./iam-directory.js";

export type AwsRegion = { sts: CloudEndpoint; ecr: CloudEndpoint; kms: CloudEndpoint };

/** AWS as the service sees it: IAM behind STS, ECR, ECR Public and KMS, and the registries that take the passwords. */
export type StandInAws = {
  iam: IamDirectory;
  /** `iam.amazonaws.com`. */
  iamApi: CloudEndpoint;
  /** `sts.<region>.amazonaws.com` of the first region. */
  sts: CloudEndpoint;
  /** `api.ecr.<region>.amazonaws.com` of the first region. */
  ecr: CloudEndpoint;
  /** `kms.<region>.amazonaws.com` of the first region. */
  kms: CloudEndpoint;
  kmsKeys: KmsKeys;
  /** `api.ecr-public.us-east-1.amazonaws.com`. */
  ecrPublic: CloudEndpoint;
  /** STS, ECR and KMS of another region that was asked for. */
  region(region: string): AwsRegion;
  /** Opens the registry of an account in a region: `<account>.dkr.ecr.<region>.amazonaws.com`. */
  addRegistry(accountId: string, region: string): { host: string; endpoint: CloudEndpoint };
  /** Makes a repository in the registry of an account in a region, or, without a region, in its public one. */
  addRepository(repository: { accountId: string; name: string; region?: string }): void;
  /** What follows a password that ECR handed out. */
  issuedPassword(password: string): IssuedPassword | undefined;
};

export type StandInAwsOptions = {
  /** At least one; default `us-east-2`. */
  regions?: readonly [string, ...string[]];
  /** See `SessionDeps.packedPolicyLimitBytes`; by default no policy within 2,048 characters is too large. */
  packedPolicyLimitBytes?: number;
};

const publicRegion = "us-east-1";

export function createStandInAws(
  register: EndpointRegister,
  clock: Clock,
  webIdentities: WebIdentityVerifier,
  options: StandInAwsOptions,
): StandInAws {
  const iam = new IamDirectory(clock);
  const passwords = new Map<string, IssuedPassword>();
  const repositories: EcrRepositories = new Set();
  const kmsKeys = new KmsKeys();
  const packedPolicyLimitBytes = options.packedPolicyLimitBytes ?? 2_048;
  const openRegion = (region: string): AwsRegion =>
    addRegion(register, region, {
      iam,
      clock,
      webIdentities,
      passwords,
      repositories,
      kmsKeys,
      packedPolicyLimitBytes,
    });
  const [firstRegion, ...otherRegions] = options.regions ?? ["us-east-2"];
  const first = openRegion(firstRegion);
  const regions = new Map([[firstRegion, first], ...otherRegions.map((name) => [name, openRegion(name)] as const)]);
  const ecrPublic = register.add(
    [`api.ecr-public.${publicRegion}.amazonaws.com`],
    createCloudEndpoint({
      name: "Amazon ECR Public",
      operationOf: operationOfTarget,
      answer: (request) =>
        answerEcr({ iam, clock, region: publicRegion, flavour: publicEcr, passwords, repositories }, request),
      throttled: throttledEcr,
    }),
  );
  const iamApi = register.add(
    ["iam.amazonaws.com"],
    createCloudEndpoint({
      name: "AWS IAM",
      operationOf: operationOfForm,
      answer: (request) => answerIam({ iam, clock }, request),
      throttled: throttledIam,
    }),
  );
  return {
    iam,
    iamApi,
    kmsKeys,
    ...first,
    ecrPublic,
    region: (name) => {
      const found = regions.get(name);
      if (found === undefined) throw new Error(`The stand-in AWS was started without the region ${name}.`);
      return found;
    },
    addRegistry: (accountId, region) => {
      const host = `${accountId}.dkr.ecr.${region}.amazonaws.com`;
      const endpoint = createCloudEndpoint({
        name: `ECR registry ${host}`,
        answer: (request) => answerEcrRegistry({ iam, clock, accountId, region, passwords }, request),
        throttled: throttledRegistry,
      });
      return { host, endpoint: register.add([host], endpoint) };
    },
    addRepository: ({ accountId, name, region }) => {
      const where = region === undefined ? "ecr-public:" : `ecr:${region}`;
      repositories.add(`arn:aws:${where}:${accountId}:repository/${name}`);
    },
    issuedPassword: (password) => passwords.get(password),
  };
}

function addRegion(
  register: EndpointRegister,
  region: string,
  deps: WebIdentityDeps & { passwords: Map<string, IssuedPassword>; repositories: EcrRepositories; kmsKeys: KmsKeys },
): AwsRegion {
  const sts = createCloudEndpoint({
    name: `AWS STS ${region}`,
    operationOf: operationOfForm,
    answer: (request) => answerSts({ ...deps, region }, request),
    throttled: throttledSts,
  });
  const ecr = createCloudEndpoint({
    name: `Amazon ECR ${region}`,
    operationOf: operationOfTarget,
    answer: (request) => answerEcr({ ...deps, region, flavour: privateEcr }, request),
    throttled: throttledEcr,
  });
  const { iam, clock, kmsKeys: keys } = deps;
  const kms = createCloudEndpoint({
    name: `AWS KMS ${region}`,
    operationOf: operationOfTarget,
    answer: (request) => answerKms({ iam, clock, keys, region }, request),
    throttled: throttledKms,
  });
  return {
    kms: register.add([`kms.${region}.amazonaws.com`], kms),
    sts: register.add([`sts.${region}.amazonaws.com`], sts),
    ecr: register.add([`api.ecr.${region}.amazonaws.com`], ecr),
  };
}

function operationOfForm(request: CloudRequest): string {
  return formOf(request).get("Action") ?? "unknown";
}

function operationOfTarget(request: { headers: NodeJS.Dict<string | string[]> }): string {
  const target = request.headers["x-amz-target"];
  return typeof target === "string" ? (target.split(".").at(-1) ?? "unknown") : "unknown";
}
