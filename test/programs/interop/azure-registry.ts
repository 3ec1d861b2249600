import jwt from "jsonwebtoken";
import { z } from "zod";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { watched } from "../../support/leak-watch.js";
import { type PrivateRegistry, startPrivateRegistry } from "../../support/registry/private-registry.js";
import type { Judge } from "../../support/registry/registry-realm.js";
import { programs } from "./registry-programs.js";

const tenantId = "11111111-2222-3333-4444-555555555555";
const puller = {
  tenantId,
  clientId: "66666666-7777-8888-9999-000000000000",
  clientSecret: watched("not-a-real-secret-interop-azure-3b7c"),
};
const publisher = { tenantId, clientId: "77777777-8888-9999-0000-111111111111", clientSecret: "not-a-real-secret-1" };

/** The value of the stored secret that matters: no job's machine may hold it. */
export const storedAzurePassword = puller.clientSecret;

export type AzureRegistry = { broker: BrokeredFactory; registry: PrivateRegistry; close(): Promise<void> };

/**
 * A real docker-registry behind the name of an Azure registry, whose realm takes what Azure takes: the stand-in judges
 * the logins, and the registry gets tokens that it can verify. It holds `acme/base`, which the factory may pull, and
 * `acme/secret`, which it may not. A job gets a password for three hours, and nothing of it is stored.
 */
export async function startAzureRegistry(): Promise<AzureRegistry> {
  let host = "";
  const broker = await startBrokeredFactory(({ azure }) => {
    host = azure.addRegistry("example").host;
    azure.directory.addServicePrincipal({ ...puller, rights: { [host]: { "acme/base": ["pull"] } } });
    azure.directory.addServicePrincipal({ ...publisher, rights: { [host]: { "*": ["pull", "push"] } } });
  });
  const { clientId: appId, clientSecret: password } = puller;
  await broker.putSecret("azprincipal", JSON.stringify({ appId, password, tenant: tenantId }));
  await broker.putConfig(
    `container_registries:\n- type: azure\n  url: ${host}\n  azure_principal_secret_name: azprincipal\n`,
  );
  const registry = await startPrivateRegistry({
    host,
    programs,
    auth: { kind: "token", judge: judgeAsAzure(broker.clouds) },
  });
  for (const repository of ["acme/base", "acme/secret"]) {
    const pushed = await registry.push(repository, { user: publisher.clientId, password: publisher.clientSecret });
    if (pushed.exitCode !== 0) throw new Error(pushed.stderr);
  }
  const close = async () => {
    await registry.close();
    await broker.close();
  };
  return { broker, registry, close };
}

const Answer = z.object({ access_token: z.string() });
const Claims = z.object({
  sub: z.string(),
  access: z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
});

function judgeAsAzure(clouds: StandInClouds): Judge {
  return async ({ host, rawQuery, headers }) => {
    const { authorization = "" } = headers;
    const reply = await clouds.request({ host, path: `/oauth2/token?${rawQuery}`, headers: { authorization } });
    if (reply.status !== 200) return undefined;
    const { sub: subject, access } = Claims.parse(jwt.decode(Answer.parse(JSON.parse(reply.body)).access_token));
    return { subject, access };
  };
}
