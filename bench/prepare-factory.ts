import { z } from "zod";
import { type Api, expectStatus } from "../demo/api-client.js";
import { allowedRepository, aws, azure } from "../demo/stand-in-accounts.js";
import type { Load, OneRequest } from "./measure-load.js";

export const secretNames = Array.from({ length: 500 }, (_, index) => `secret-${String(index).padStart(3, "0")}`);

/** The loads, by name; all but the bare one go to the service. */
export type Loads = {
  warmToken: Load;
  warmTokenOfSession: Load;
  warmTokenOfWorkload: Load;
  warmTokenOfDevice: Load;
  secretWrite: Load;
  secretList: Load;
  coldToken: Load;
};

const base = "/v1/factories/bench";
const config = `container_registries:
- type: aws
  region: ${aws.region}
  aws_creds_secret_name: aws_creds
- type: azure
  url: ${azure.registry}
  azure_principal_secret_name: azprincipal
`;

/** Makes a factory with 500 secrets, two registries and a job. */
export async function prepareFactory(api: Api, operatorToken: string): Promise<void> {
  expectStatus(await api(operatorToken, "/v1/factories", { body: { name: "bench" } }), 201);
  const secrets = secretNames.map((name) => ({ name, value: "v".repeat(1_000) }));
  secrets.push({ name: "aws_creds", value: aws.credentialsFile });
  secrets.push({ name: "azprincipal", value: `${azure.clientId}:${azure.clientSecret}` });
  for (let at = 0; at < secrets.length; at += 100) {
    const batch = { secrets: secrets.slice(at, at + 100) };
    expectStatus(await api(operatorToken, `${base}/secrets:batch`, { body: batch }), 200);
  }
  expectStatus(await api(operatorToken, `${base}/config`, { method: "PUT", yaml: config }), 201);
}

/** Opens a job and gives back its token. */
export async function openJob(api: Api, operatorToken: string): Promise<string> {
  const reply = expectStatus(
    await api(operatorToken, `${base}/jobs`, { body: { name: "bench", ttlSeconds: 86_400 } }),
    201,
  );
  return z.object({ token: z.string() }).parse(reply.json).token;
}

/** An API token of the factory: what a script that manages secrets would use. */
export async function openApiToken(api: Api, operatorToken: string): Promise<string> {
  const body = { name: "bench", permissions: ["secrets:list", "secrets:write"] };
  const reply = expectStatus(await api(operatorToken, `${base}/api-tokens`, { body }), 201);
  return z.object({ token: z.string() }).parse(reply.json).token;
}

export function createLoads(
  url: string,
  callers: { job: string; api: string; session: string; workload: string; device: Pick<Load, "url" | "tls"> },
): Loads {
  let writes = 0;
  let colds = 0;
  const asApi = { "osf-token": callers.api };
  const warm = (token: string | undefined, at: Pick<Load, "url" | "tls"> = { url }): Load => {
    const request = tokenRequest(token, azure.registry, [allowedRepository]);
    return { ...at, next: () => request };
  };
  return {
    warmToken: warm(callers.job),
    warmTokenOfSession: warm(callers.session),
    warmTokenOfWorkload: warm(callers.workload),
    warmTokenOfDevice: warm(undefined, callers.device),
    secretWrite: {
      url,
      next: () => {
        writes += 1;
        const name = secretNames[writes % secretNames.length] ?? "";
        const body = JSON.stringify({ value: "w".repeat(1_000) });
        return {
          method: "PUT",
          path: `${base}/secrets/${name}`,
          body,
          headers: { ...asApi, "content-type": "application/json" },
        };
      },
    },
    secretList: { url, next: () => ({ method: "GET", path: `${base}/secrets?pageSize=50`, headers: asApi }) },
    coldToken: {
      url,
      // A scope that no one has asked for before is in no cache.
      next: () => {
        colds += 1;
        return tokenRequest(callers.job, azure.registry, [`cold/repository-${colds}`]);
      },
    },
  };
}

/** Asks for a registry token as anyone who has this token, or a certificate instead. */
export function tokenRequest(
  token: string | undefined,
  registry: string,
  repositories?: readonly string[],
): OneRequest {
  return {
    method: "POST",
    path: `${base}/registry-tokens`,
    body: JSON.stringify({ registry, repositories }),
    headers: { ...(token !== undefined && { "osf-token": token }), "content-type": "application/json" },
  };
}
