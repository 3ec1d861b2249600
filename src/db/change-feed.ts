import type pg from "pg";
import { createClient } from "./connections.js";
import type { Generations } from "./generations.js";
import { withdrawalChannel } from "./withdrawals.js";

const channel = "factory_secrets_generation";
const dataKeyChannel = "factory_secrets_data_keys";
const pollMs = 500;
const reconnectMs = 1_000;
const keepAliveMs = 10_000;

export type ChangeFeed = { close(): Promise<void> };

type FeedInput = {
  directUrl: string;
  pool: pg.Pool;
  generations: Generations;
  /** The factory seals under another data key from now on. Anyone who is not told finds out when the old one is gone. */
  onDataKeys: (factoryId: string) => void;
  /** A credential was withdrawn, or a device denied. */
  onWithdrawn: (subject: string) => void;
  /** It listens, and did not before: other data keys may have been announced unheard. */
  onMissed: () => void;
  /** The connection is lost, or cannot be made. Told once until it listens again. */
  onLost: (error: Error) => void;
};

/**
 * Keeps `generations` up to date: LISTEN on one connection of its own, and a poll every 500 ms beside it, because a
 * connection can be dead for many minutes before anybody is told. The token path does not depend on either (its audit
 * insert compares generations); everything else is never out of date for longer than a second.
 */
export function startChangeFeed(input: FeedInput): ChangeFeed {
  let closed = false;
  let listener: pg.Client | undefined;
  let isLossTold = false;

  const connect = async (): Promise<void> => {
    if (closed) return;
    const client = createClient({
      connectionString: input.directUrl,
      application_name: "factory-secrets changes",
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveMs,
    });
    const lost = once((error: Error) => {
      if (listener === client) listener = undefined;
      client.removeAllListeners("notification");
      void client.end().catch(() => undefined);
      if (closed) return;
      if (!isLossTold) input.onLost(error);
      isLossTold = true;
      setTimeout(() => void connect(), reconnectMs).unref();
    });
    client.on("error", lost);
    client.on("end", () => lost(new Error("the LISTEN connection ended")));
    client.on("notification", (told) => hear(input, told));
    try {
      await client.connect();
      await client.query(`LISTEN ${channel}; LISTEN ${dataKeyChannel}; LISTEN ${withdrawalChannel}`);
    } catch (error) {
      lost(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    listener = client;
    isLossTold = false;
    if (closed) return void client.end().catch(() => undefined);
    // What was announced before LISTEN took hold was announced to no one. A poll that fails is not a fault of this
    // connection: the next one comes in half a second.
    input.onMissed();
    await poll(input.pool, input.generations).catch(() => undefined);
  };
  let asking = false;
  const polling = setInterval(async () => {
    // While the database is away each answer takes seconds; a queue of questions would help no one.
    if (asking) return;
    asking = true;
    await poll(input.pool, input.generations).catch(() => undefined);
    asking = false;
  }, pollMs).unref();
  void connect();
  return {
    async close() {
      closed = true;
      clearInterval(polling);
      await listener?.end().catch(() => undefined);
    },
  };
}

function hear(
  input: Pick<FeedInput, "generations" | "onDataKeys" | "onWithdrawn">,
  { channel: told, payload }: pg.Notification,
): void {
  if (told === dataKeyChannel) input.onDataKeys(payload ?? "");
  else if (told === withdrawalChannel) input.onWithdrawn(payload ?? "");
  else observePayload(input.generations, payload);
}

async function poll(pool: pg.Pool, generations: Generations): Promise<void> {
  const ids = generations.ids();
  const { rows } = await pool.query<{ id: string; generation: string }>({
    name: "poll-generations",
    text: `SELECT id, generation FROM factories WHERE id = ANY($1::uuid[])
           UNION ALL SELECT id, generation FROM installation`,
    values: [ids],
  });
  for (const row of rows) generations.observe(row.id, BigInt(row.generation));
}

function observePayload(generations: Generations, payload: string | undefined): void {
  const [id, generation] = (payload ?? "").split(" ");
  if (id && generation && /^\d+$/.test(generation)) generations.observe(id, BigInt(generation));
}

function once<A>(run: (argument: A) => void): (argument: A) => void {
  let done = false;
  return (argument) => {
    if (done) return;
    done = true;
    run(argument);
  };
}
