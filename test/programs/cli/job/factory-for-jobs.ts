import { type BrokeredFactory, startBrokeredFactory } from "../../../support/broker/brokered-factory.js";
import { watched } from "../../../support/leak-watch.js";
import { type JobMachine, openJobMachine } from "./job-machine.js";

/** Gives a password for all of it. */
export const passwordHost = "example.azurecr.io";
/** Gives a bearer for named repositories. */
export const bearerHost = "ghcr.io";

const config = `container_registries:
- type: azure
  url: ${passwordHost}
  azure_principal_secret_name: azprincipal
- type: generic
  url: ${bearerHost}
  generic_secret_name: ghcr_creds
`;

export type FactoryForJobs = BrokeredFactory & {
  /** The machine of a job with this token; of a new job without grants when none is given. */
  machine(token?: string): Promise<JobMachine>;
  /** A job that may pull one repository of each registry. */
  narrowJob(): Promise<string>;
};

/** A factory whose registries give a password and a bearer. What is stored must never be seen on a job's machine. */
export async function startFactoryForJobs(): Promise<FactoryForJobs> {
  const tenantId = "11111111-2222-3333-4444-555555555555";
  const clientId = "66666666-7777-8888-9999-000000000000";
  const clientSecret = watched("not-a-real-secret-job-azure-41aa");
  const password = watched("not-a-real-secret-job-ghcr-9be2");
  const rights = { "acme/base": ["pull"], "acme/app": ["pull"] } as const;
  const broker = await startBrokeredFactory((clouds) => {
    const { host } = clouds.azure.addRegistry("example");
    clouds.azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret, rights: { [host]: rights } });
    clouds.docker.addRegistry({ host: bearerHost, users: { ci: { password, rights } } });
  });
  await broker.putSecret("azprincipal", JSON.stringify({ appId: clientId, password: clientSecret, tenant: tenantId }));
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putConfig(config);
  const grants = [{ registry: passwordHost }, { registry: bearerHost, repositories: ["acme/base"] }];
  return {
    ...broker,
    machine: async (token) =>
      openJobMachine({
        FACTORY_SECRETS_URL: broker.service.url,
        FACTORY_SECRETS_FACTORY: broker.factory.name,
        FACTORY_SECRETS_TOKEN: token ?? (await broker.openJob()).token,
      }),
    narrowJob: async () => (await broker.openJob({ grants })).token,
  };
}
