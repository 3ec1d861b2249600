import { execFileSync } from "node:child_process";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import type { TestService } from "../../support/test-service.js";

export const publicHost = "secrets.example.com";
export const accountId = "123456789012";
export const ecr = `${accountId}.dkr.ecr.us-east-2.amazonaws.com`;
export const acr = "example.azurecr.io";
/** Of the cloud of the US government; takes the registry service's own audience only. */
export const acrOfGovernment = "example.azurecr.us";
export const gar = "us-docker.pkg.dev";
export const clientId = "11111111-2222-4333-8444-555555555555";
export const tenantId = "99999999-2222-4333-8444-555555555555";
export const roleArn = `arn:aws:iam::${accountId}:role/registry/pull`;
export const pool = "projects/417181920212/locations/global/workloadIdentityPools/factories";

const aws = (role: string) => `- type: aws\n  url: ${ecr}\n  aws_role_arn: ${role}\n`;
const azure = `- type: azure\n  url: ${acr}\n  azure_client_id: ${clientId}\n  azure_tenant_id: ${tenantId}\n`;
const google = (provider: string, account: string | undefined) =>
  `- type: gar\n  url: ${gar}\n  gar_workload_identity_provider: ${pool}/providers/${provider}\n${
    account === undefined ? "" : `  gar_service_account: ${account}\n`
  }`;

/** A config without any secret. `provider` is the factory's own in the pool that all share. */
export function keylessConfig(of: { provider: string; account?: string; role?: string }): string {
  return aws(of.role ?? roleArn) + azure + google(of.provider, of.account);
}

export type KeylessFactory = BrokeredFactory & {
  serviceAccount: string;
  /** Another factory of the same service. */
  other: { id: string; name: string };
  putConfigOf(factory: string, document: string): Promise<void>;
  federationOf(factory: string): Promise<FederationReply>;
};

type Step = { title: string; format: "sh" | "json"; text: string };
export type FederationReply = {
  issuer: string;
  metadataUrl: string;
  jwksUri: string;
  remarks: string[];
  entries: { id: string; keyless: boolean; principal?: string; subject: string; audience: string; trust: Step[] }[];
};

/** The service under its public name, with clouds that come to it for its keys, and registries that nothing opens yet. */
export async function startKeylessFactory(): Promise<KeylessFactory> {
  let serviceAccount = "";
  const broker = await startBrokeredFactory(
    ({ aws, azure, google }) => {
      aws.addRegistry(accountId, "us-east-2");
      azure.addRegistry(acr);
      azure.addRegistry(acrOfGovernment, { refusesArmTokens: true });
      const rights = { [acr]: { "*": ["pull"] }, [acrOfGovernment]: { "*": ["pull"] } } as const;
      azure.directory.addServicePrincipal({ tenantId, clientId, rights });
      google.addRegistry(gar);
      serviceAccount = google.addServiceAccount({ name: "pull", readable: [`${gar}/project/images/`] }).email;
    },
    { FACTORY_SECRETS_PUBLIC_URL: `https://${publicHost}` },
    // The keys that its assertions are signed with are the installation's.
    "a new database",
  );
  const { service, clouds } = broker;
  clouds.webIdentities.reach(publicHost, service.url);
  const operator = () => service.as(service.operatorToken);
  return {
    ...broker,
    serviceAccount,
    other: await service.createFactory(),
    async putConfigOf(factory, document) {
      const put = operator().put(`/v1/factories/${factory}/config`).set("Content-Type", "application/yaml");
      await put.send(document).expect((reply) => {
        if (reply.status >= 300) throw new Error(reply.text);
      });
    },
    federationOf: async (factory) => (await operator().get(`/v1/factories/${factory}/federation`).expect(200)).body,
  };
}

/** What a shell makes of a printed command: its words. The cloud's program is a function that prints them. */
export function wordsOf(command: string): string[] {
  const printed = ["aws", "az", "gcloud"].map((name) => `${name}() { printf '%s\\0' "$@"; }`).join("\n");
  const words = execFileSync("sh", ["-c", `${printed}\n${command}`], { encoding: "utf8" });
  return words.split("\0").slice(0, -1);
}

const optionOf = (step: Step | undefined, name: string): string => {
  const words = wordsOf(step?.text ?? "");
  return words[words.indexOf(`--${name}`) + 1] ?? "";
};

/** Does at AWS what the service prints for an entry. */
export function trustAtAws({ aws }: StandInClouds, entry: FederationReply["entries"][number] | undefined): void {
  const [provider, policy] = entry?.trust ?? [];
  aws.iam.addOidcProvider(accountId, optionOf(provider, "url"), [optionOf(provider, "client-id-list")]);
  const role = { accountId, roleName: "registry/pull", trusts: [], maxSessionSeconds: 7_200 };
  aws.iam.addRole({ ...role, webIdentityTrust: policy?.text ?? "" });
}

/** Does at Entra what the service prints for an entry. */
export function trustAtAzure({ azure }: StandInClouds, entry: FederationReply["entries"][number] | undefined): void {
  const [credential] = entry?.trust ?? [];
  azure.directory.addFederatedCredential(optionOf(credential, "id"), JSON.parse(optionOf(credential, "parameters")));
}

/** Does at Google what the service prints for an entry. */
export function trustAtGoogle({ google }: StandInClouds, entry: FederationReply["entries"][number] | undefined): void {
  const [provider, binding] = entry?.trust ?? [];
  const [, , , , name] = wordsOf(provider?.text ?? "");
  google.addProvider(`${pool}/providers/${name}`, { issuer: optionOf(provider, "issuer-uri") });
  const words = wordsOf(binding?.text ?? "");
  const member = optionOf(binding, "member");
  if (words[1] === "service-accounts") google.allowToActAs(words[3] ?? "", member);
  else google.allowToRead(member, [`${gar}/project/images/`]);
}

/** Does all of it, at each cloud. */
export async function trustEverywhere(factory: KeylessFactory, name: string): Promise<void> {
  const [first, second, third] = (await factory.federationOf(name)).entries;
  trustAtAws(factory.clouds, first);
  trustAtAzure(factory.clouds, second);
  trustAtGoogle(factory.clouds, third);
}

/** A job token of a factory of the service. */
export async function jobOf(service: TestService, factory: string): Promise<string> {
  return (await service.openJob(factory)).token;
}
