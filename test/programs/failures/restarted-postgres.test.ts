import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { endServerProcesses, type ServerProcess, startServerProcess } from "../crash/server-process.js";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.js";

const rounds = process.env.FACTORY_SECRETS_TEST_LONG === "1" ? 30 : 3;

let own: OwnPostgres;
beforeAll(async () => {
  own = await startOwnPostgres();
});
afterEach(endServerProcesses);
afterAll(() => own.close());

type Load = { statuses: Map<number | string, number>; stop(): Promise<void> };

/** Clients that write and read without a pause. */
function startLoad(url: string, token: string): Load {
  const agent = new Agent({ connections: 8 });
  const statuses = new Map<number | string, number>();
  let stopping = false;
  const ask = async (client: number): Promise<void> => {
    for (let turn = 0; !stopping; turn += 1) {
      const path = turn % 2 === 0 ? `/v1/factories/acme/secrets/s${client}` : "/v1/factories/acme/config";
      const sent =
        turn % 2 === 0
          ? { method: "PUT" as const, body: JSON.stringify({ value: secretValue() }) }
          : { method: "GET" as const };
      const headers = { "osf-token": token, "content-type": "application/json" };
      const status = await request(`${url}${path}`, { ...sent, headers, dispatcher: agent }).then(
        async (reply) => {
          await reply.body.dump();
          return reply.statusCode;
        },
        (error: Error) => error.message,
      );
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  const running = Promise.all(Array.from({ length: 8 }, (_, client) => ask(client)));
  return {
    statuses,
    async stop() {
      stopping = true;
      await running;
      await agent.close();
    },
  };
}

const isReady = (url: string): Promise<number> => fetch(`${url}/readyz`).then(({ status }) => status);

it("a Postgres that is restarted again and again under load ends no replica, and no request is 500", async () => {
  const start = (): ServerProcess => startServerProcess({ DATABASE_URL: own.url, FACTORY_SECRETS_KEY: own.key });
  const first = start();
  const urls = [await first.listening()];
  const token = /FACTORY_SECRETS_TOKEN=(fso_\S+)/.exec(first.said())?.[1] ?? "";
  const servers = [first, start()];
  urls.push((await servers[1]?.listening()) ?? "");
  await request(`${urls[0]}/v1/factories`, {
    method: "POST",
    headers: { "osf-token": token, "content-type": "application/json" },
    body: JSON.stringify({ name: "acme" }),
  });
  const loads = urls.map((url) => startLoad(url, token));
  for (let round = 0; round < rounds; round += 1) {
    await own.stop();
    await own.start();
    for (const url of urls) await expect.poll(() => isReady(url)).toBe(200);
    // Until all connections carry statements again.
    await sleep(100);
  }
  for (const load of loads) await load.stop();
  for (const { statuses } of loads) {
    expect([...statuses.keys()].filter((status) => ![200, 201, 404, 503].includes(Number(status)))).toEqual([]);
  }
  for (const server of servers) server.signal("SIGTERM");
  expect(await Promise.all(servers.map(({ ended }) => ended))).toEqual([0, 0]);
});
