import request from "supertest";
import type { Permission } from "../../../src/core/permissions.js";
import { recordExchange, watched } from "../../support/leak-watch.js";
import type { TestService } from "../../support/test-service.js";

export type TestClient = { id: string; secretId: string; secret: string };

/** Asks the token endpoint; its reply is a credential, so only a refusal is searched for leaks. */
export async function askToken(
  service: Pick<TestService, "url">,
  fields: Record<string, string> | string,
  headers: Record<string, string> = {},
) {
  const text = typeof fields === "string" ? fields : new URLSearchParams(fields).toString();
  const reply = await request(service.url)
    .post("/oauth/token/")
    .set("Content-Type", "application/x-www-form-urlencoded")
    .set(headers)
    .send(text);
  if (reply.status !== 200) recordExchange(reply);
  return reply;
}

/** What `fioctl login` asks for. */
export function login(
  service: Pick<TestService, "url">,
  { id, secret }: TestClient,
  more: Record<string, string> = {},
) {
  return askToken(service, { grant_type: "client_credentials", client_id: id, client_secret: secret, ...more });
}

export function refresh(service: Pick<TestService, "url">, { id, secret }: TestClient, refreshToken: string) {
  const client = { client_id: id, client_secret: secret };
  return askToken(service, { grant_type: "refresh_token", refresh_token: refreshToken, ...client });
}

/** Makes a client, whose secret must be seen nowhere after that one reply. */
export async function makeClient(
  service: TestService,
  factory: string,
  body: { permissions?: readonly Permission[]; roles?: readonly string[]; expiresAt?: string },
): Promise<TestClient> {
  const reply = await request(service.url)
    .post(`/v1/factories/${factory}/oauth-clients`)
    .set("OSF-TOKEN", service.operatorToken)
    .send({ name: "test client", ...body });
  if (reply.status !== 201) throw new Error(`no client was made: ${reply.text}`);
  const { id, clientSecret, secrets } = reply.body;
  return { id, secretId: secrets[0].id, secret: watched(clientSecret) };
}

/** Watches what was issued: it goes out in no other reply. */
export function watchIssued(body: { access_token: string; refresh_token?: string }): void {
  watched(body.access_token);
  if (body.refresh_token !== undefined) watched(body.refresh_token);
}
