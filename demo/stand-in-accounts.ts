import { type StandInClouds, startStandInClouds } from "../test/support/clouds/start-stand-in-clouds.js";

export const aws = {
  accountId: "123456789012",
  region: "us-east-2",
  registry: "123456789012.dkr.ecr.us-east-2.amazonaws.com",
  /** What `~/.aws/credentials` holds; the keys are AWS's own examples. */
  credentialsFile: `[default]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
`,
};

export const azure = {
  registry: "example.azurecr.io",
  clientId: "11111111-2222-3333-4444-555555555555",
  clientSecret: "not-a-real-secret-1",
};

/** The one repository that the jobs of the demo may pull from, and another that the same accounts can reach. */
export const allowedRepository = "team/app";
export const otherRepository = "team/other";

/** Starts stand-ins for AWS and Azure that know one account each, which can pull everything. */
export async function startAccounts(): Promise<StandInClouds> {
  const clouds = await startStandInClouds();
  clouds.aws.addRegistry(aws.accountId, aws.region);
  clouds.aws.iam.addUser({
    accountId: aws.accountId,
    userName: "ci-pull",
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  });
  clouds.azure.addRegistry(azure.registry);
  clouds.azure.directory.addServicePrincipal({
    tenantId: "409520d4-8100-4d1d-ad47-72432ddcc120",
    clientId: azure.clientId,
    clientSecret: azure.clientSecret,
    rights: { [azure.registry]: { "*": ["pull"] } },
  });
  return clouds;
}
