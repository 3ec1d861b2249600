import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BrokeredFactory } from "../../support/broker/brokered-factory.js";
import { expectProblem } from "../http/expect-problem.js";
import { type DeliveryCaller, newDelivery, startDeliveryService } from "./delivery-factory.js";

// These leave in replies, where they are flagged. That the others do not is what the tests look at.
const stored = "not-a-real-secret-stored-4410";
const junk = "not-a-real-secret-junk-93d2";
const later = "not-a-real-secret-later-0c7e";

let broker: BrokeredFactory;
beforeAll(async () => {
  broker = await startDeliveryService();
});
afterAll(() => broker.close());

describe("an older version that is current again", () => {
  const ways: [string, (caller: DeliveryCaller) => PromiseLike<unknown>][] = [
    ["rollback", (caller) => caller.post(":rollback").expect(200)],
    ["restore", (caller) => caller.post("/versions/1:restore").expect(200)],
  ];
  it.each(ways)("after a %s is not delivered, whatever the version before it was", async (_way, goBack) => {
    const { writer, deliverer, delivered } = await newDelivery(broker);
    await writer.put(stored).expect(201);
    await deliverer.put(junk, true).expect(200);
    expect(await delivered()).toBe(junk);
    await goBack(writer);
    expect(await delivered()).toBeUndefined();
    expect((await writer.get().expect(200)).body.deliverToJobs).toBe(false);
  });

  it.each(ways)(
    "after a %s is delivered, if it was stored so, and its caller may turn delivery on",
    async (_way, goBack) => {
      const { writer, deliverer, delivered } = await newDelivery(broker);
      await deliverer.put(junk, true).expect(201);
      await writer.put(stored, false).expect(200);
      expect(await delivered()).toBeUndefined();
      await goBack(deliverer);
      expect(await delivered()).toBe(junk);
    },
  );

  it("is not delivered after a batch, a deletion and an undelete, or a promotion", async () => {
    const { writer, deliverer, delivered } = await newDelivery(broker);
    await writer.put(stored).expect(201);
    await deliverer.batch(junk, true).expect(200);
    await writer.post(":rollback").expect(200);
    await writer.remove().expect(204);
    await writer.post(":undelete").expect(200);
    expect(await delivered()).toBeUndefined();
    await writer.stage(later, false).expect(200);
    await deliverer.put(junk, true).expect(200);
    await writer.post("/versions/3:promote").expect(200);
    expect(await delivered()).toBeUndefined();
  });

  it("that once opened a registry is not delivered when the config is taken away, changed and restored", async () => {
    const { writer, deliverer, delivered } = await newDelivery(broker);
    await writer.put(stored).expect(201);
    await writer.publish(true).expect(200);
    await writer.publish(false).expect(200);
    await deliverer.put(junk, true).expect(200);
    await writer.post(":rollback").expect(200);
    await writer.restoreConfig(2).expect(200);
    expect(await delivered()).toBeUndefined();
    await writer.restoreConfig(3).expect(200);
    expect(await delivered()).toBeUndefined();
  });
});

describe("delivery", () => {
  it("is turned on by nobody without secrets:deliver, by no write and no way back", async () => {
    const { writer, deliverer, delivered } = await newDelivery(broker);
    for (const write of [writer.put(junk, true), writer.batch(junk, true)])
      expect(expectProblem(await write, "forbidden").detail).toContain("secrets:deliver");
    await deliverer.put(junk, true).expect(201);
    await writer.stage(junk).expect(200);
    await writer.put(stored, false).expect(200);
    expectProblem(await writer.put(junk, true), "forbidden");
    expectProblem(await writer.stage(junk, true), "forbidden");
    for (const way of [":rollback", "/versions/1:restore", "/versions/2:promote"])
      expectProblem(await writer.post(way), "forbidden");
    await writer.fioctl(later).expect(201);
    expect(await delivered()).toBeUndefined();
    await deliverer.post("/versions/1:restore").expect(200);
    await writer.remove().expect(204);
    expectProblem(await writer.post(":undelete"), "forbidden");
    await deliverer.post(":undelete").expect(200);
    expect(await delivered()).toBe(junk);
  });

  it("stays as the current version says when a write does not say, by the API, a batch and fioctl", async () => {
    const { writer, deliverer, delivered } = await newDelivery(broker);
    await writer.fioctl(stored).expect(201);
    expect(await delivered()).toBeUndefined();
    await deliverer.put(junk, true).expect(200);
    const writes = [() => writer.put("a-1"), () => writer.batch("a-2"), () => writer.fioctl("a-3")];
    for (const [index, write] of writes.entries()) {
      expect((await write()).status).toBeLessThan(300);
      expect(await delivered()).toBe(`a-${index + 1}`);
    }
    await writer.put(stored, false).expect(200);
    for (const write of writes) {
      expect((await write()).status).toBeLessThan(300);
      expect(await delivered()).toBeUndefined();
    }
  });

  it("is in the audit of every write and of every change of what is current, and in the list of versions", async () => {
    const { writer, deliverer, operator } = await newDelivery(broker);
    await writer.put(stored).expect(201);
    await deliverer.put(junk, true).expect(200);
    await writer.stage(later).expect(200);
    await writer.post("/versions/3:promote").expect(200);
    await writer.post(":rollback").expect(200);
    await writer.post("/versions/1:restore").expect(200);
    await writer.fioctl(later).expect(201);
    await writer.remove().expect(204);
    await writer.post(":undelete").expect(200);
    const { body } = await operator.events().expect(200);
    const said = body.items
      .map(
        ({ action, secretVersion, deliverToJobs }: Record<string, unknown>) =>
          `${action} ${secretVersion} ${deliverToJobs}`,
      )
      .reverse();
    expect(said).toEqual([
      "secret.written 1 false",
      "secret.written 2 true",
      "secret.staged 3 true",
      "secret.promoted 3 true",
      "secret.rolled-back 2 true",
      "secret.written 4 false",
      "secret.written 5 false",
      "secret.deleted undefined undefined",
      "secret.undeleted 5 false",
    ]);
    const { body: versions } = await writer.get("/versions").expect(200);
    expect(versions.items.map(({ deliverToJobs }: { deliverToJobs: boolean }) => deliverToJobs)).toEqual([
      false,
      false,
      true,
      true,
      false,
    ]);
  });
});

describe("a secret that an entry names", () => {
  it.each([
    ["that its entry can use", "ci:not-a-real-secret-"],
    ["that its entry cannot use, which is not what is said first", "not-a-real-secret-"],
  ])("never has a deliverable version %s as its current one: each way to it is refused", async (_what, prefix) => {
    const [junk, stored, later] = [`${prefix}junk-93d3`, `${prefix}stored-4411`, `${prefix}later-0c7f`];
    const { writer, deliverer, delivered } = await newDelivery(broker);
    await deliverer.put(junk, true).expect(201);
    expectProblem(await deliverer.publish(true), "invalid-config");
    expectProblem(await deliverer.addEntry(), "invalid-config");
    await deliverer.put(stored, false).expect(200);
    await deliverer.stage(later, true).expect(200);
    await writer.publish(true).expect(200);
    for (const way of [":rollback", "/versions/1:restore", "/versions/3:promote"])
      expectProblem(await deliverer.post(way), "secret-in-use");
    for (const write of [deliverer.put(junk, true), deliverer.stage(junk, true), deliverer.batch(junk, true)])
      expectProblem(await write, "secret-in-use");
    // Nothing that may be delivered is tried at a registry: neither the staged version nor by a promotion.
    expectProblem(await deliverer.post("/versions/3:doctor"), "secret-in-use");
    expectProblem(await deliverer.post("/versions/3:promote?doctor=true"), "secret-in-use");
    expect(await delivered()).toBeUndefined();
    await writer.publish(false).expect(200);
    await deliverer.post("/versions/3:promote").expect(200);
    expect(await delivered()).toBe(later);
  });

  it("is named or delivered, never both, when a config and a way back come at the same moment", async () => {
    for (let round = 0; round < 6; round += 1) {
      const { deliverer, delivered, operator } = await newDelivery(broker);
      await deliverer.put(junk, true).expect(201);
      await deliverer.put(stored, false).expect(200);
      const [back, published] = await Promise.all([deliverer.post(":rollback"), deliverer.publish(true)]);
      expect([back.status, published.status]).toEqual(back.status === 200 ? [200, 422] : [409, 200]);
      const { body } = await operator.get().expect(200);
      expect([body.deliverToJobs, body.usedByRegistries].filter(Boolean)).toHaveLength(1);
      expect(await delivered()).toBe(back.status === 200 ? junk : undefined);
    }
  });
});

describe("the database", () => {
  it("lets no stored version become deliverable, and ends it for one that an entry comes to name", async () => {
    const { factory, writer, deliverer, delivered } = await newDelivery(broker);
    await writer.put(stored).expect(201);
    const { pool } = broker.service.database;
    const ofSecret = "secret_id = (SELECT id FROM secrets WHERE factory_id = $1 AND name = 's')";
    await expect(
      pool.query(`UPDATE secret_versions SET deliver_to_jobs = true WHERE ${ofSecret}`, [factory.id]),
    ).rejects.toThrow("never becomes deliverable");
    // As a replica of the release before does it, which looks at the column of the secret alone.
    await deliverer.put(junk, true).expect(200);
    const named = "UPDATE secrets SET named = $2, deliver_to_jobs = false WHERE factory_id = $1 AND name = 's'";
    await pool.query(named, [factory.id, true]);
    await pool.query(named, [factory.id, false]);
    expect(await delivered()).toBeUndefined();
    await pool.query("UPDATE secrets SET deliver_to_jobs = true WHERE factory_id = $1 AND name = 's'", [factory.id]);
    expect(await delivered()).toBeUndefined();
    await writer.publish(true).expect(200);
  });
});
