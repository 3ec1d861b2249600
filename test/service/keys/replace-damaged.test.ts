import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deafen } from "../../support/deafen.js";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "../secrets/open-stored.js";

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService();
});
afterAll(() => keyed.service.close());

type Factory = { id: string; name: string };
const path = ({ name }: Factory, rest: string) => `/v1/factories/${name}${rest}`;
const operator = (on: TestService) => on.as(on.operatorToken);
const put = (factory: Factory, value: string, on: TestService) =>
  operator(on).put(path(factory, "/secrets/a")).send({ value });
const verify = (factory: Factory, value: string, on: TestService) =>
  operator(on).post(path(factory, "/secrets/a:verify")).send({ value });
const replace = (factory: Factory, on = keyed.service) =>
  operator(on).post(path(factory, "/data-keys:replace-damaged"));
const fingerprints = async (factory: Factory, on = keyed.service): Promise<(string | undefined)[]> => {
  const { body } = await operator(on).get(path(factory, "/secrets/a/versions")).expect(200);
  return body.items.map(({ fingerprint }: { fingerprint?: string }) => fingerprint);
};
const damage = (factory: Factory, purpose: string) =>
  keyed.service.database.pool.query(
    "UPDATE data_keys SET wrapped = $3 WHERE factory_id = $1 AND purpose = $2 AND state = 'active'",
    [factory.id, purpose, randomBytes(61)],
  );
const remove = (factory: Factory, purpose: string) =>
  keyed.service.database.pool.query(
    "DELETE FROM data_keys WHERE factory_id = $1 AND purpose = $2 AND state = 'active'",
    [factory.id, purpose],
  );
const mended = /fingerprints does not open.*data-keys:replace-damaged$/;
const eventsOf = async (factory: Factory) =>
  (await operator(keyed.service).get(path(factory, "/audit?action=data-key.damaged-replaced"))).body.items;

/** A factory with two versions of a secret, and a replica that has all its keys in memory and hears of no change. */
async function withMemory(): Promise<{ factory: Factory; values: string[]; deaf: TestService }> {
  const factory = await keyed.service.createFactory();
  const values = [secretValue(), secretValue()];
  const deaf = await startTestService(keyed.environment, keyed.service);
  for (const value of values) await put(factory, value, deaf);
  return { factory, values, deaf };
}

describe("a key of the fingerprints that does not open", () => {
  it("is replaced: what was is unknown, never equal or different, and what comes is compared again", async () => {
    const { factory, values, deaf } = await withMemory();
    const [, current = ""] = values;
    await damage(factory, "fingerprint");
    const { body } = await replace(factory).expect(200);
    expect(body.items).toEqual([{ purpose: "fingerprint", dataKeyId: expect.any(String), unknownFingerprints: 2 }]);
    expect(await fingerprints(factory)).toEqual([undefined, undefined]);
    for (const value of [current, secretValue()])
      for (const on of [keyed.service, deaf]) {
        const { detail } = expectProblem(await verify(factory, value, on), "version-unsuitable");
        expect(detail).toMatch(
          /^Version 2 is older than the key of the fingerprints, .* is not known\. Set the secret/,
        );
      }
    expect((await openStored(keyed.service, { factory, name: "a" }))?.toString()).toBe(current);
    await put(factory, current, keyed.service).expect(200);
    expect((await verify(factory, current, deaf).expect(200)).body).toEqual({ matches: true, version: 3 });
    expect(await fingerprints(factory)).toEqual([expect.stringMatching(/^fp-/), undefined, undefined]);
    expect(await eventsOf(factory)).toMatchObject([
      { outcome: "allowed", purpose: "fingerprint", dataKeyId: body.items[0].dataKeyId, keyId: keyed.first, count: 2 },
    ]);
    await deaf.close();
  });

  it("makes no fingerprint any more on a replica that has it in memory and has not heard", async () => {
    const { factory, deaf } = await withMemory();
    await damage(factory, "fingerprint");
    await deafen(keyed.service);
    await replace(factory).expect(200);
    const value = secretValue();
    await put(factory, value, deaf).expect(200);
    for (const on of [keyed.service, deaf])
      expect((await verify(factory, value, on).expect(200)).body).toEqual({ matches: true, version: 3 });
    expect((await verify(factory, secretValue(), deaf).expect(200)).body).toMatchObject({ matches: false });
    await deaf.close();
  });

  it("compares by none that a replica has in memory and has not heard of", async () => {
    const { factory, deaf } = await withMemory();
    await damage(factory, "fingerprint");
    await deafen(keyed.service);
    await replace(factory).expect(200);
    const value = secretValue();
    await put(factory, value, keyed.service).expect(200);
    expect((await verify(factory, value, deaf).expect(200)).body).toEqual({ matches: true, version: 3 });
    await deaf.close();
  });

  it("leaves none behind, whoever writes while it is replaced", async () => {
    const { factory, deaf } = await withMemory();
    await damage(factory, "fingerprint");
    const writes = Array.from({ length: 30 }, (_, n) =>
      operator(deaf)
        .put(path(factory, `/secrets/s${n}`))
        .send({ value: secretValue() }),
    );
    const answers = await Promise.all([...writes, replace(factory)]);
    expect(answers.map(({ status }) => status).filter((status) => status !== 201)).toEqual([200]);
    const shown = await keyed.service.database.pool.query<{ made: boolean; count: number }>(
      `SELECT length(v.fingerprint) > 0 AS made, count(*)::int AS count FROM secret_versions v
       JOIN secrets s ON s.id = v.secret_id JOIN data_keys k ON k.factory_id = s.factory_id AND k.purpose = 'fingerprint'
       WHERE s.factory_id = $1 AND v.created_at < k.created_at GROUP BY 1`,
      [factory.id],
    );
    expect(shown.rows.filter(({ made }) => made)).toEqual([]);
    await deaf.close();
  });
});

describe("a key of the fingerprints that is not there", () => {
  it("is made anew, and what was is unknown", async () => {
    const { factory, values, deaf } = await withMemory();
    await remove(factory, "fingerprint");
    for (const on of [keyed.service, deaf]) {
      expect(expectProblem(await put(factory, secretValue(), on), "key-unavailable").detail).toMatch(mended);
      expect(expectProblem(await verify(factory, values[1] ?? "", on), "key-unavailable").detail).toMatch(mended);
    }
    await deafen(keyed.service);
    const { body } = await replace(factory).expect(200);
    expect(body.items).toEqual([{ purpose: "fingerprint", dataKeyId: expect.any(String), unknownFingerprints: 2 }]);
    expect(await fingerprints(factory)).toEqual([undefined, undefined]);
    expectProblem(await verify(factory, values[1] ?? "", keyed.service), "version-unsuitable");
    const next = secretValue();
    await put(factory, next, keyed.service).expect(200);
    expect((await verify(factory, next, deaf).expect(200)).body).toEqual({ matches: true, version: 3 });
    expect(await eventsOf(factory)).toMatchObject([{ purpose: "fingerprint", count: 2 }]);
    expectProblem(await replace(factory), "key-unsuitable");
    await deaf.close();
  });

  it("is made once, by however many", async () => {
    const { factory, deaf } = await withMemory();
    await remove(factory, "fingerprint");
    const answers = await Promise.all([keyed.service, deaf, keyed.service, deaf].map((on) => replace(factory, on)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const { rows } = await keyed.service.database.pool.query(
      "SELECT FROM data_keys WHERE factory_id = $1 AND purpose = 'fingerprint'",
      [factory.id],
    );
    expect(rows).toHaveLength(1);
    await deaf.close();
  });

  it("is not made while the key that seals values is not there either, and then it is", async () => {
    const factory = await keyed.service.createFactory();
    for (const purpose of ["secret", "fingerprint"]) await remove(factory, purpose);
    expect(expectProblem(await put(factory, secretValue(), keyed.service), "key-unavailable").detail).toMatch(
      /data-keys:rotate$/,
    );
    expect(expectProblem(await replace(factory), "key-unsuitable").detail).toMatch(/keys rotate-data-key --factory/);
    const task = (await keyed.post(path(factory, "/data-keys:rotate")).expect(202)).body;
    expect(await keyed.ended(task)).toMatchObject({ state: "done" });
    expect((await replace(factory).expect(200)).body.items).toMatchObject([{ purpose: "fingerprint" }]);
    await put(factory, secretValue(), keyed.service).expect(201);
  });
});

describe("a key of AWS-shaped keys that does not open", () => {
  const registry = "100000000000.dkr.ecr.eu-central-1.amazonaws.com";
  const config = `- type: aws\n  region: eu-central-1\n  url: ${registry}\n  aws_creds_secret_name: a\n`;
  const keysOf = (token: string, { name }: Factory, on: TestService) =>
    on.as(token).post(`/v1/factories/${name}/registry-tokens`).send({ registry, format: "aws-credentials-file" });

  it("is replaced, and jobs get other keys", async () => {
    const { factory, deaf } = await withMemory();
    await operator(deaf).put(path(factory, "/config")).set("Content-Type", "application/yaml").send(config).expect(201);
    const { token } = await deaf.openJob(factory.name);
    const secretFrom = async (on: TestService) =>
      /aws_secret_access_key = (\S{40})/.exec((await keysOf(token, factory, on)).body.credentialsFile)?.[1];
    const before = await secretFrom(deaf);
    await damage(factory, "aws-keys");
    const fresh = await startTestService(keyed.environment, keyed.service);
    expectProblem(await keysOf(token, factory, fresh), "key-unavailable");
    expect((await replace(factory).expect(200)).body.items).toEqual([
      { purpose: "aws-keys", dataKeyId: expect.any(String) },
    ]);
    await expect.poll(() => secretFrom(deaf)).not.toBe(before);
    const renewed = await secretFrom(deaf);
    await expect.poll(() => secretFrom(fresh)).toBe(renewed);
    expect(renewed).toMatch(/./);
    expect((await fingerprints(factory)).every((text) => text?.startsWith("fp-"))).toBe(true);
    const [event] = await eventsOf(factory);
    expect(event).toMatchObject({ purpose: "aws-keys" });
    expect(event).not.toHaveProperty("count");
    for (const one of [fresh, deaf]) await one.close();
  });
});

describe("nothing is replaced", () => {
  it("of a factory whose keys all open, or that does not exist", async () => {
    const factory = await keyed.service.createFactory();
    expect(expectProblem(await replace(factory), "key-unsuitable").detail).toMatch(/^Every data key .* opens/);
    expectProblem(await replace({ ...factory, name: "nowhere" }), "not-found");
    expect(await eventsOf(factory)).toEqual([]);
  });

  it("while the key that seals values does not open, and then it is", async () => {
    const { factory, values, deaf } = await withMemory();
    for (const purpose of ["secret", "fingerprint"]) await damage(factory, purpose);
    expect(expectProblem(await replace(factory), "key-unsuitable").detail).toMatch(/keys rotate-data-key --factory/);
    const task = (await keyed.post(path(factory, "/data-keys:rotate")).expect(202)).body;
    expect(await keyed.ended(task)).toMatchObject({ state: "failed" });
    await replace(factory).expect(200);
    await put(factory, values[0] ?? "", keyed.service).expect(200);
    await deaf.close();
  });

  it("for anybody but an operator", async () => {
    const factory = await keyed.service.createFactory();
    const { token } = await keyed.service.createApiToken(factory.name, ["secrets:write", "access:write"]);
    expectProblem(await keyed.service.as(token).post(path(factory, "/data-keys:replace-damaged")), "forbidden");
  });
});
