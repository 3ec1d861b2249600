import type pg from "pg";
import { createClient } from "./connections.js";

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
