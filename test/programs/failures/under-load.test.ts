import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { createStoredValues, type StoredValues } from "../../support/crash/stored-values.js";
import { type Load, startWriters } from "../../support/failures/writers.js";
import { roundsOf } from "../../support/rounds.js";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.js";
import { openRegistry, prepareFactory, untilEverythingWorks } from "./requests-of-all-kinds.js";

let own: OwnPostgres;
let broker: BrokeredFactory;
let job: string;
let stored: StoredValues;
beforeAll(async () => {
  own = await startOwnPostgres();
  const few = { FACTORY_SECRETS_DATABASE_CONNECTIONS: "4" };
  broker = await startBrokeredFactory(openRegistry, few, { databaseUrl: own.url, key: own.key });
  job = await prepareFactory(broker);
  stored = await createStoredValues({ databaseUrl: own.url, key: own.key }, broker.factory.id);
});
afterAll(async () => {
  await stored.close();
  await broker.close();
  await own.close();
});

/** Resolves when so many more writes were acknowledged. */
async function furtherWrites(load: Load, count: number): Promise<void> {
  const wanted = load.acknowledged.length + count;
  await expect.poll(() => load.acknowledged.length, { interval: 10 }).toBeGreaterThan(wanted);
}

/** Every acknowledged write is there with its value, and every version that is there has its one audit row. */
async function expectWhole({ acknowledged, statuses }: Load): Promise<void> {
  expect([...statuses.keys()].filter((status) => ![200, 201, 503].includes(status))).toEqual([]);
  const { current, audited } = await stored.versions();
  expect(audited).toEqual(current);
  for (const { name, version, value } of keptOnes(acknowledged, current))
    expect(await stored.open(name, version)).toBe(value);
  for (const { name, version } of acknowledged) expect(current.get(name)).toBeGreaterThanOrEqual(version);
}

/** The last five of a name: older versions than the last ten are removed, as they should be. */
const keptOnes = (acknowledged: Load["acknowledged"], current: ReadonlyMap<string, number>) =>
  acknowledged.filter(({ name, version }) => version > (current.get(name) ?? 0) - 5);

describe("under load", () => {
  it("a crash of Postgres loses no acknowledged write and leaves none half done", async () => {
    const load = startWriters(broker, "crash_");
    await furtherWrites(load, 100);
    await own.crash();
    await own.start();
    await furtherWrites(load, 100);
    await load.stop();
    await expectWhole(load);
    await untilEverythingWorks(broker, job);
  });

  it("connections that are cut are made anew; what they carried is done whole or not at all", async () => {
    const load = startWriters(broker, "cut_");
    for (let round = 0; round < roundsOf(4, 10); round += 1) {
      await furtherWrites(load, 20);
      own.cut();
    }
    await furtherWrites(load, 20);
    await load.stop();
    await expectWhole(load);
    await untilEverythingWorks(broker, job);
  });
});
