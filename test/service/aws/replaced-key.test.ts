import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AwsFactory, host, type KeyPair, sendSigned, startAwsFactory } from "../../support/aws/aws-factory.js";
import { deafen } from "../../support/deafen.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let factory: AwsFactory;
let path: string;
let job: { id: string; token: string };
let deaf: TestService;
beforeAll(async () => {
  factory = await startAwsFactory();
  path = `/v1/factories/${factory.factory.name}`;
});
afterAll(() => factory.close());
beforeEach(async () => {
  job = await factory.openJob();
  deaf = await startTestService(factory.environment, factory.service);
});
afterEach(() => deaf.close());

const ask = (on: TestService) => on.as(job.token).post(`${path}/jobs/${job.id}:aws-keys`).send({ registry: host });
const keysFrom = async (on: TestService): Promise<KeyPair> => (await ask(on).expect(200)).body;
const signedWith = async (keys: KeyPair, on: TestService) => (await sendSigned(keys, { url: `${on.url}/` })).status;
const ofThisPurpose = "factory_id = $1 AND purpose = 'aws-keys'";
const database = (sql: string, ...values: unknown[]) =>
  factory.service.database.pool.query(`${sql} WHERE ${ofThisPurpose}`, [factory.factory.id, ...values]);
const damage = () => database("UPDATE data_keys SET wrapped = $2", randomBytes(61));
/** As docs/keys.md says. */
const replace = () => database("DELETE FROM data_keys");

/** Keys of the job, whose key `deaf` had in memory when it was replaced, and has not heard of that. */
async function replacedUnheard(): Promise<KeyPair> {
  const before = await keysFrom(deaf);
  expect(await signedWith(before, deaf)).toBe(200);
  await damage();
  await deafen(factory.service);
  await replace();
  return before;
}

describe("on a replica that has not heard that the key of AWS-shaped keys was replaced", () => {
  it("those of before are refused at once", async () => {
    expect(await signedWith(await replacedUnheard(), deaf)).toBe(403);
  });

  it("those that another replica has given out are taken at once", async () => {
    await replacedUnheard();
    expect(await signedWith(await keysFrom(factory.service), deaf)).toBe(200);
  });

  it("those of before are given out no more", async () => {
    const before = await replacedUnheard();
    const given = await keysFrom(deaf);
    expect(given.secretAccessKey).not.toBe(before.secretAccessKey);
    expect(given).toEqual({ ...(await keysFrom(factory.service)), endpointUrl: given.endpointUrl });
  });

  it("it is not in the way any more, where it did not open", async () => {
    await keysFrom(factory.service);
    await damage();
    expectProblem(await ask(deaf), "key-unavailable");
    await deafen(factory.service);
    await replace();
    expect(await signedWith(await keysFrom(deaf), deaf)).toBe(200);
  });
});

it("where it is not there, those of before are refused, and the next to ask get others, as at first", async () => {
  const before = await keysFrom(deaf);
  await database("DELETE FROM data_keys");
  expect(await signedWith(before, deaf)).toBe(403);
  const given = await keysFrom(factory.service);
  expect(given.secretAccessKey).not.toBe(before.secretAccessKey);
  expect(await signedWith(given, deaf)).toBe(200);
});
