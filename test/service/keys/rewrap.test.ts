import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AuditSigningKey } from "../../../src/audit/log/signing-key.js";
import { AuditWriter } from "../../../src/audit/record.js";
import { KeyRing } from "../../../src/crypto/key-ring.js";
import { readKnownKeys } from "../../../src/crypto/open-key-ring.js";
import { apiAccess, rotateSigningKey } from "../../../src/identity/oauth/keys/rotate-signing-key.js";

import { readSigningKeys } from "../../../src/identity/oauth/keys/store.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { openEverything } from "../../support/keys/open-everything.js";

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService();
});
afterAll(() => keyed.service.close());

it("moves keys of every kind, and those that a replica with the old key makes meanwhile", async () => {
  const { service, first, second } = keyed;
  const { prisma, pool } = service.database;
  const all = await keyed.ring();
  // A replica that has read which key is active just before another was activated.
  const firstKey = (await readKnownKeys(prisma)).find(({ id }) => id === first);
  const late = new KeyRing(all.keys, async () => firstKey);
  const audit = new AuditWriter(pool);
  const signing = { prisma, audit, keys: late };
  const rotate = async () => {
    const { keys } = await readSigningKeys(prisma, apiAccess.purpose);
    const replacedId = keys.find(({ verifyUntil }) => verifyUntil === undefined)?.id;
    await rotateSigningKey(signing, { use: apiAccess, replacedId, now: new Date() });
  };
  await rotate();
  const auditKey = new AuditSigningKey({ prisma, keys: late, audit });
  const { rows } = await pool.query<{ id: string }>("SELECT id FROM installation");
  await auditKey.rotate(rows[0]?.id ?? "", new Date());
  for (let n = 0; n < 20; n += 1) await service.createFactory();
  const withAwsKeys = await service.createFactory();
  const derived = (await new FactoryKeys({ prisma, keys: late }).awsKeys(withAwsKeys.id)).bytes;
  await keyed.activateSecond();
  // A row that is held keeps the task from its end, however slow this machine is.
  const holder = new pg.Client({ connectionString: service.databaseUrl });
  await holder.connect();
  await holder.query("BEGIN");
  await holder.query("SELECT FROM data_keys WHERE factory_id = $1 FOR UPDATE", [withAwsKeys.id]);
  const { body: task } = await keyed.post(`/v1/keys/${first}:rewrap`, { perSecond: 60 }).expect(202);
  // Beginning again while it runs is the same task.
  expect((await keyed.post(`/v1/keys/${first}:rewrap`).expect(202)).body.id).toBe(task.id);
  await rotate();
  await auditKey.rotate(rows[0]?.id ?? "", new Date());
  const factory = await service.createFactory();
  const key = await late.createDataKey(factory.id, "fingerprint");
  await pool.query("DELETE FROM data_keys WHERE factory_id = $1 AND purpose = 'fingerprint'", [factory.id]);
  await prisma.dataKey.create({
    data: { ...key, factoryId: factory.id, wrapped: new Uint8Array(key.wrapped) },
  });
  await holder.query("COMMIT");
  await holder.end();
  expect(await keyed.ended(task)).toMatchObject({ state: "done" });
  const { wrapped } = await openEverything(service.database, all);
  expect([...wrapped.keys()]).toEqual([second]);
  expect((await new FactoryKeys({ prisma, keys: all }).findAwsKeys(withAwsKeys.id))?.bytes).toEqual(derived);
  await keyed.post(`/v1/keys/${first}:retire`).expect(200);
});

it("leaves alone what does not open, says so, and moves all else", async () => {
  const { service, second } = keyed;
  const [damaged, whole] = [await service.createFactory(), await service.createFactory()];
  const { rows } = await service.database.pool.query<{ id: string }>(
    "UPDATE data_keys SET wrapped = $2 WHERE factory_id = $1 AND purpose = 'secret' RETURNING id",
    [damaged.id, randomBytes(61)],
  );
  // Back to the first key, whose retirement is undone here for want of a third.
  await service.database.pool.query("UPDATE key_encryption_keys SET state = 'known' WHERE id = $1", [keyed.first]);
  await keyed.post(`/v1/keys/${keyed.first}:activate`).expect(200);
  const { body: task } = await keyed.post(`/v1/keys/${second}:rewrap`, { perSecond: 10_000 }).expect(202);
  const ended = await keyed.ended(task);
  expect(ended).toMatchObject({ state: "failed", problem: expect.stringContaining(rows[0]?.id ?? "?") });
  expect((await keyed.keys()).get(second)?.wraps).toEqual({ dataKeys: 1, signingKeys: 0, auditKeys: 0 });
  await service
    .as(service.operatorToken)
    .put(`/v1/factories/${whole.name}/secrets/a`)
    .send({ value: "not-a-real-secret" })
    .expect(201);
});

it("that a replica has ended before its beginning is answered is answered all the same", async () => {
  const { pool } = keyed.service.database;
  // As if a replica were that quick: the task ends at the very commit that makes it.
  await pool.query(
    `CREATE FUNCTION end_at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       UPDATE key_tasks SET state = 'done', finished_at = now() WHERE id = NEW.id; RETURN NULL; END $$;
     CREATE CONSTRAINT TRIGGER end_at_once AFTER INSERT ON key_tasks DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION end_at_once()`,
  );
  const { body } = await keyed.post(`/v1/keys/${keyed.second}:rewrap`).expect(202);
  expect(body).toMatchObject({ state: "done" });
});
