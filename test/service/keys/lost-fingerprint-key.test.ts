import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { deafen } from "../../support/deafen.js";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "../secrets/open-stored.js";

let keyed: KeyedService;
let documented: string;
beforeAll(async () => {
  keyed = await startKeyedService();
  const guide = await readFile(new URL("../../../docs/keys.md", import.meta.url), "utf8");
  documented = /```sql\n(BEGIN;[^`]*'fingerprint'[^`]*)```/.exec(guide)?.[1] ?? "";
});
afterAll(() => keyed.service.close());

type Factory = { id: string; name: string };
let factory: Factory;
let value: string;
/** Has the data keys in memory, and is not told of changes. */
let deaf: TestService;
beforeEach(async () => {
  factory = await keyed.service.createFactory();
  value = secretValue();
  deaf = await startTestService(keyed.environment, keyed.service);
  await put("a", secretValue(), deaf).expect(201);
  await put("a", value, deaf).expect(200);
});
afterEach(() => deaf.close());

const path = (rest: string) => `/v1/factories/${factory.name}${rest}`;
const operator = (on: TestService) => on.as(on.operatorToken);
const put = (name: string, written: string, on: TestService) =>
  operator(on)
    .put(path(`/secrets/${name}`))
    .send({ value: written });
const verify = (asked: string, on: TestService) => operator(on).post(path("/secrets/a:verify")).send({ value: asked });
const fingerprints = async (): Promise<(string | undefined)[]> => {
  const { body } = await operator(keyed.service).get(path("/secrets/a/versions")).expect(200);
  return body.items.map(({ fingerprint }: { fingerprint?: string }) => fingerprint);
};
const database = () => keyed.service.database.pool;
const damage = () =>
  database().query("UPDATE data_keys SET wrapped = $2 WHERE factory_id = $1 AND purpose = 'fingerprint'", [
    factory.id,
    randomBytes(61),
  ]);

async function makeNewKey(): Promise<void> {
  await database().query(documented.replaceAll("'acme'", `'${factory.name}'`));
  const { body } = await keyed.post(path("/data-keys:rotate"), { perSecond: 10_000 }).expect(202);
  expect(await keyed.ended(body)).toMatchObject({ state: "done" });
}

it("a lost fingerprint key is replaced by the documented steps: what was is unknown, what comes is compared", async () => {
  await damage();
  expect(expectProblem(await put("a", secretValue(), keyed.service), "key-unavailable").detail).toContain(
    "docs/keys.md",
  );
  await deafen(keyed.service);
  await makeNewKey();
  expect(await fingerprints()).toEqual([undefined, undefined]);
  for (const on of [keyed.service, deaf]) expectProblem(await verify(value, on), "version-unsuitable");
  expect((await openStored(keyed.service, { factory, name: "a" }))?.toString()).toBe(value);
  // Not with the key that this replica still has in memory.
  await put("a", value, deaf).expect(200);
  for (const on of [keyed.service, deaf])
    expect((await verify(value, on).expect(200)).body).toEqual({ matches: true, version: 3 });
  expect((await verify(secretValue(), deaf).expect(200)).body).toMatchObject({ matches: false });
});

it("a fingerprint that a writer makes while its key is deleted is emptied, or is of the new key", async () => {
  const writes = Array.from({ length: 20 }, (_, n) => put(`s${n}`, secretValue(), deaf));
  const answers = await Promise.all([...writes, makeNewKey()]);
  // Between the deletion and the new key a write has none to make its fingerprint with.
  for (const answer of answers.slice(0, -1)) expect([201, 503]).toContain(answer?.status);
  const { rows } = await database().query(
    `SELECT FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
       JOIN data_keys k ON k.factory_id = s.factory_id AND k.purpose = 'fingerprint'
     WHERE s.factory_id = $1 AND v.created_at < k.created_at AND length(v.fingerprint) > 0`,
    [factory.id],
  );
  expect(rows).toEqual([]);
});
