import pg from "pg";

/**
 * The only two places that make a connection to Postgres (test/unit/architecture/error-listeners.test.ts).
 *
 * `pg` emits `error` on a client whose connection ends between two statements, and an `error` event without a listener
 * ends the process. The pool itself listens only while a client is idle, and Prisma only while its transaction is open,
 * so a client that is in use and between two statements has no listener. Here each client has one from the beginning
 * to its end. Nothing is lost by it: the next statement on that client throws.
 */
const ignore = (): void => undefined;

/**
 * Makes a pool. It does not connect yet.
 * @param onIdleError - told when a connection breaks that nothing uses
 */
export function createPool(config: pg.PoolConfig, onIdleError: (error: Error) => void = ignore): pg.Pool {
  const pool = new pg.Pool(config);
  pool.on("error", onIdleError);
  pool.on("connect", (client) => client.on("error", ignore));
  return pool;
}

/** Makes a client. It does not connect yet. */
export function createClient(config: pg.ClientConfig): pg.Client {
  const client = new pg.Client(config);
  client.on("error", ignore);
  return client;
}

/**
 * Gives a piece of work a connection of its own, which may take as long as it takes, and closes it after: whatever
 * transaction is open then is rolled back.
 */
export async function withClient<T>(
  url: string,
  applicationName: string,
  work: (client: pg.ClientBase) => Promise<T>,
): Promise<T> {
  const client = createClient({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
