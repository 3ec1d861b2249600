import { afterEach, expect, it } from "vitest";
import { type AwsFactory, host, sendSigned, startAwsFactory } from "../../support/aws/aws-factory.js";

let factory: AwsFactory;
afterEach(() => factory.close());

it("an address that has failed too often gets no further, but for keys that have signed well before", async () => {
  factory = await startAwsFactory({ FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "3" });
  const url = `${factory.service.url}/aws/ecr/${factory.factory.name}`;
  const keys = await factory.keysOf(await factory.openJob());
  const stranger = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "not-a-real-secret-of-a-stranger" };
  expect((await sendSigned(keys, { url })).status).toBe(200);
  for (let failure = 0; failure < 3; failure += 1) {
    const reply = await sendSigned(stranger, { url });
    expect([reply.status, reply.json().__type]).toEqual([403, "UnrecognizedClientException"]);
  }
  expect((await sendSigned(stranger, { url })).status).toBe(429);
  expect((await sendSigned(keys, { url })).status).toBe(200);
});

it("a job that asks too often is told to wait, as AWS would say it", async () => {
  factory = await startAwsFactory({ FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "5" });
  const url = `${factory.service.url}/aws/ecr/${factory.factory.name}`;
  const keys = await factory.keysOf(await factory.openJob(), host);
  const replies = [];
  for (let asked = 0; asked < 6; asked += 1) replies.push(await sendSigned(keys, { url }));
  const last = replies.at(-1);
  expect([last?.status, last?.json().__type]).toEqual([429, "ThrottlingException"]);
});
