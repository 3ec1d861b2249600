import { z } from "zod";
import { createApi, expectStatus } from "../demo/api-client.js";
import type { Load } from "./measure-load.js";
import { login, registryHost } from "./relay-names.js";

/** What `relay-peer.ts registry` prints. */
export const RelayedRegistry = z.object({
  port: z.number(),
  pid: z.number(),
  caPem: z.string(),
  blob: z.string(),
  digest: z.string(),
  manifestBytes: z.number(),
});

/** Makes a factory whose one entry is the registry that is relayed to. @returns the token of a job of it */
export async function openRelayFactory(url: string, operatorToken: string, name: string): Promise<string> {
  const api = createApi(url);
  const base = `/v1/factories/${name}`;
  const entry = `- { type: generic, url: ${registryHost}, generic_secret_name: creds }\n`;
  expectStatus(await api(operatorToken, "/v1/factories", { body: { name } }), 201);
  const value = `${login.user}:${login.password}`;
  expectStatus(await api(operatorToken, `${base}/secrets/creds`, { method: "PUT", body: { value } }), 201);
  expectStatus(await api(operatorToken, `${base}/config`, { method: "PUT", yaml: entry }), 201);
  const reply = expectStatus(await api(operatorToken, `${base}/jobs`, { body: { name: "bench" } }), 201);
  return z.object({ token: z.string() }).parse(reply.json).token;
}

/** A manifest by its digest, which comes from memory, and a layer, which is streamed and hashed. */
export async function relayLoads(
  url: string,
  operatorToken: string,
  { blob, digest }: Pick<z.output<typeof RelayedRegistry>, "blob" | "digest">,
): Promise<{ manifest: Load; layer: Load }> {
  const headers = { authorization: `Bearer ${await openRelayFactory(url, operatorToken, "relayed")}` };
  const load = (rest: string): Load => ({
    url,
    next: () => ({ method: "GET", path: `/v2/relayed/${registryHost}/team/app/${rest}`, headers }),
  });
  return { manifest: load(`manifests/${digest}`), layer: load(`blobs/${blob}`) };
}
