import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register } from "../../support/devices/device-service.js";
import { watched } from "../../support/leak-watch.js";
import { openShMachine, type Shell, type ShMachine } from "./sh-machine.js";

/** Azure with a tenant: a password. */
export const tenantHost = "example.azurecr.io";
/** Azure without one: a bearer. */
export const bearerHost = "other.azurecr.io";
export const refreshTokenUser = "00000000-0000-0000-0000-000000000000";

const tenantId = "11111111-2222-3333-4444-555555555555";
const rights = { "team/app": ["pull"] } as const;
const grants = [
  { registry: tenantHost, actions: ["pull" as const] },
  { registry: bearerHost, repositories: ["team/app"], actions: ["pull" as const] },
];

export type DeviceFactory = BrokeredFactory & {
  caPem: string;
  root: Issued;
  authority: string;
  device: Issued & { id: string };
  /** The machine of a device: with its certificate, and settings that lead to the port for devices. */
  machine(shell: Shell, who?: Issued): ShMachine;
};

/** A factory with registries of Azure, and one device of it. */
export async function startDeviceFactory(): Promise<DeviceFactory> {
  const files = await makeServerFiles();
  const secrets = ["tenant", "other"].map((name, index) => ({
    name,
    clientId: `66666666-7777-8888-9999-00000000000${index}`,
    clientSecret: watched(`not-a-real-secret-of-helper-${name}-3b1e`),
  }));
  const broker = await startBrokeredFactory((clouds) => {
    for (const host of [tenantHost, bearerHost]) clouds.azure.addRegistry(host);
    for (const { clientId, clientSecret } of secrets) {
      const all = { [tenantHost]: rights, [bearerHost]: rights };
      clouds.azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret, rights: all });
    }
  }, files.environment);
  for (const { name, clientId, clientSecret } of secrets) await broker.putSecret(name, `${clientId}:${clientSecret}`);
  await broker.putConfig(`container_registries:
- type: azure
  url: ${tenantHost}
  azure_principal_secret_name: tenant
  azure_tenant_id: ${tenantId}
- type: azure
  url: ${bearerHost}
  azure_principal_secret_name: other
`);
  const root = await makeRoot();
  const authority = await register(broker.service, broker.factory, { certificates: [root], policy: { grants } });
  const device = await makeDevice(root, broker.factory.name);
  return {
    ...broker,
    caPem: files.caPem,
    root,
    authority,
    device,
    machine(shell, who = device) {
      const machine = openShMachine(shell);
      Object.assign(machine.environment, {
        FACTORY_SECRETS_URL: broker.service.deviceUrl,
        FACTORY_SECRETS_FACTORY: broker.factory.name,
        FACTORY_SECRETS_CA_FILE: machine.write("root.crt", files.caPem),
        FACTORY_SECRETS_CLIENT_CERT_FILE: machine.write("client.pem", who.pem),
        FACTORY_SECRETS_CLIENT_KEY_FILE: machine.write("pkey.pem", who.keyPem),
      });
      return machine;
    },
    async close() {
      await broker.close();
      await files.remove();
    },
  };
}
