import { Socket } from "node:net";
import { PrismaPg } from "@prisma/adapter-pg";
import type pg from "pg";
import { createPool } from "./connections.js";
import { type Prisma, PrismaClient } from "./generated/client.js";

/** The one pool of connections, as `pg` and as Prisma see it. */
export type Database = { pool: pg.Pool; prisma: PrismaClient; close(): Promise<void> };

export type { PrismaClient } from "./generated/client.js";

/** What an operation hands to the stores that write in its transaction. */
export type Transaction = Prisma.TransactionClient;

/** How long a request waits for a connection, and how long one statement may run. */
const waitMs = 5_000;

/** After so long without a word a connection in use is given up: Postgres itself would have spoken by then. */
const silenceMs = waitMs + 2_000;

/**
 * Opens the pool. Statements that begin with a comment `/* name *\/` are prepared under that name:
 * Postgres spends half of an unprepared statement on planning it.
 */
export function openDatabase(input: { url: string; connections: number; onError: (error: Error) => void }): Database {
  const config = {
    connectionString: input.url,
    max: input.connections,
    connectionTimeoutMillis: waitMs,
    statement_timeout: waitMs,
    // A transaction whose client is gone must not hold its locks.
    idle_in_transaction_session_timeout: 2 * waitMs,
    application_name: "factory-secrets",
  };
  const pool = createPool(config, input.onError);
  giveUpSilent(pool);
  const adapter = new PrismaPg(pool, {
    statementNameGenerator: (query) => /^\/\* ([a-z-]+) \*\//.exec(query.sql)?.[1] ?? "",
    onPoolError: input.onError,
    onConnectionError: input.onError,
  });
  const prisma = new PrismaClient({ adapter, transactionOptions: { maxWait: waitMs, timeout: 2 * waitMs } });
  return {
    pool,
    prisma,
    async close() {
      await prisma.$disconnect();
      await pool.end();
    },
  };
}

/**
 * A host that is gone without a word closes nothing, and TCP goes on hoping for many minutes. So a connection of which
 * nothing is heard while it is in use is closed from here, and what waits for it fails.
 */
function giveUpSilent(pool: pg.Pool): void {
  pool.on("connect", (client) => {
    const socket = socketOf(client);
    socket?.on("timeout", () => {
      socket.destroy(Object.assign(new Error("the database says nothing"), { code: "ETIMEDOUT" }));
    });
  });
  pool.on("acquire", (client) => socketOf(client)?.setTimeout(silenceMs));
  pool.on("release", (_error, client) => socketOf(client)?.setTimeout(0));
}

function socketOf(client: pg.PoolClient): Socket | undefined {
  const { stream } = client.connection;
  return stream instanceof Socket ? stream : undefined;
}
