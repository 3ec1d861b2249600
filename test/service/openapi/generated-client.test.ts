import { afterAll, beforeAll, expect, test } from "vitest";
import { Api } from "../../generated/compiled/client.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});

afterAll(() => service?.close());

/** The client of openapi.yaml with a token. */
function clientWith(token: string): Api<string> {
  const client = new Api<string>({
    baseUrl: service.url,
    securityWorker: (securityData) => ({ headers: { Authorization: `Bearer ${securityData}` } }),
  });
  client.setSecurityData(token);
  return client;
}

test("a client generated from openapi.yaml stores a secret, lists it and opens a job", async () => {
  const operator = clientWith(service.operatorToken).v1;
  const factory = (await operator.createFactory({ name: "generated-client" })).data;

  const written = await operator.putSecret(factory.name, "aws_creds", { value: "not-a-real-secret-of-a-client" });
  expect(written.data).toMatchObject({ name: "aws_creds", version: 1 });

  const listed = await operator.listSecrets(factory.name, { pageSize: 10 });
  expect(listed.data.items.map(({ name, version }) => ({ name, version }))).toEqual([
    { name: "aws_creds", version: 1 },
  ]);

  const job = await operator.createJob(factory.name, { name: "build 1", grants: [{ registry: "ghcr.io" }] });
  expect(job.data.grants).toEqual([{ registry: "ghcr.io", actions: ["pull"] }]);
  const self = await clientWith(job.data.token).v1.whoAmI();
  expect(self.data).toMatchObject({ kind: "job", id: job.data.id, factory: factory.name });
});

test("a refusal reaches the client as the problem that the document declares", async () => {
  const refused = await clientWith(service.operatorToken)
    .v1.createFactory({ name: "Not a name" })
    .catch((error) => error);
  expect(refused).toMatchObject({ status: 400, error: { code: "invalid-request", invalid: [{ at: "/name" }] } });
});
