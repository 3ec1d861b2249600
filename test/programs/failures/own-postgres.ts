import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { type EmbeddedPostgres, openEmbeddedPostgres } from "../../../src/db/embedded/open-embedded-postgres.js";
import { applyMigrations } from "../../../src/db/migrate.js";
import { type Line, openLine } from "../../support/failures/line.js";
import { signalWithChildren } from "./freeze.js";
import { type Standby, startStandby } from "./standby.js";

const migrations = fileURLToPath(new URL("../../../prisma/migrations", import.meta.url));

/** A Postgres of the test's own, reached through a line that can be cut, and that it may stop and kill. */
export type OwnPostgres = Pick<Line, "cut" | "stall" | "resume"> & {
  /** Of the service's database, through the line: it stays the same whatever happens to Postgres. */
  url: string;
  /** Of the same database past the line, as superuser, while Postgres runs. */
  directUrl(): string;
  /** Where it keeps its files. */
  cluster: string;
  /** A key-encryption key for a service on it, base64. */
  key: string;
  /** Ends Postgres in good order, which cuts its connections. */
  stop(): Promise<void>;
  /** Ends Postgres as a crash does: nothing is flushed, and the next start recovers from the log. */
  crash(): Promise<void>;
  start(): Promise<void>;
  /** Restarts it as a standby, which is what a switchover makes of the old primary. It takes no writes. */
  demote(): Promise<void>;
  /** Makes the standby a primary again. Its connections stay. */
  promote(): Promise<void>;
  /** Stops all its processes where they are, and nobody is told (Linux). */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  close(): Promise<void>;
};

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const directory = await mkdtemp(join(tmpdir(), "factory-secrets-own-postgres-"));
  const exits = new EventEmitter();
  const open = (): Promise<EmbeddedPostgres> => {
    const deps = { onProgress: () => undefined, onUnexpectedExit: () => void exits.emit("exit") };
    return openEmbeddedPostgres(deps, { dataDirectory: directory, durability: { fsync: false } });
  };
  let postgres = await open();
  await migrate(postgres.url);
  let standby: Standby | undefined;
  const line = await openLine(() => standby?.port ?? Number(new URL(postgres.url).port));
  const url = new URL(postgres.url);
  url.host = `127.0.0.1:${line.port}`;
  return {
    ...line,
    url: url.href,
    directUrl() {
      const admin = new URL(postgres.adminUrl);
      admin.pathname = url.pathname;
      return admin.href;
    },
    cluster: postgres.cluster,
    key: randomBytes(32).toString("base64"),
    async stop() {
      await standby?.stop();
      standby = undefined;
      await postgres.stop();
    },
    async crash() {
      const gone = once(exits, "exit");
      process.kill(postgres.pid, "SIGQUIT");
      await gone;
      await postgres.stop();
    },
    async start() {
      postgres = await open();
    },
    async demote() {
      await postgres.stop();
      const { adminUrl, cluster } = postgres;
      const adminUrlAt = (port: number): string => Object.assign(new URL(adminUrl), { port: String(port) }).href;
      standby = await startStandby(directory, cluster, adminUrlAt);
    },
    async promote() {
      await standby?.promote();
    },
    freeze: () => signalWithChildren(postgres.pid, "SIGSTOP"),
    thaw: () => signalWithChildren(postgres.pid, "SIGCONT"),
    async close() {
      line.close();
      // A test that failed may have left it frozen, and then it does not stop.
      if (process.platform === "linux") await signalWithChildren(postgres.pid, "SIGCONT");
      await standby?.stop();
      await postgres.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function migrate(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url });
  await applyMigrations({ pool, onProgress: () => undefined }, migrations);
  await pool.end();
}
