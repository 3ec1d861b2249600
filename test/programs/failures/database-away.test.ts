import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.js";
import {
  type Answered,
  askEverything,
  openRegistry,
  prepareFactory,
  untilEverythingWorks,
} from "./requests-of-all-kinds.js";

/**
 * A request waits for a connection and for its statement, 5 s each, the rest is a slow machine's; the database would be
 * away for ever. That it is 5 s: no-room.test.ts.
 */
const timeoutSeconds = 30;

let own: OwnPostgres;
let broker: BrokeredFactory;
let job: string;
beforeAll(async () => {
  own = await startOwnPostgres();
  const few = { FACTORY_SECRETS_DATABASE_CONNECTIONS: "4" };
  broker = await startBrokeredFactory(openRegistry, few, { databaseUrl: own.url, key: own.key });
  job = await prepareFactory(broker);
  await untilEverythingWorks(broker, job);
});
afterAll(async () => {
  await broker.close();
  await own.close();
});

function expectUnavailable(answers: readonly Answered[]): void {
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 503, code: "unavailable", retryAfter: expect.stringMatching(/^\d+$/) });
    expect(answer.seconds).toBeLessThan(timeoutSeconds);
  }
}

const statusOf = async (path: string): Promise<number> =>
  (await broker.service.as(undefined).get(path).redirects(0)).status;

describe("a Postgres that is stopped", () => {
  it("makes every request 503 with Retry-After, and is found again without a restart of the service", async () => {
    await own.stop();
    expectUnavailable(await askEverything(broker, job));
    expect(await statusOf("/healthz")).toBe(200);
    expect(await statusOf("/readyz")).toBe(503);
    await own.start();
    await untilEverythingWorks(broker, job);
    expect(await statusOf("/readyz")).toBe(200);
  });
});

describe("a Postgres that nothing is heard of", () => {
  it("keeps no request longer than the time-out, and is found again when it answers", async () => {
    own.stall();
    expectUnavailable(await askEverything(broker, job));
    expect(await statusOf("/healthz")).toBe(200);
    own.resume();
    await untilEverythingWorks(broker, job);
  });
});
