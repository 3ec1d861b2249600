import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { settleClusterHome } from "../../../src/db/embedded/cluster-home.js";
import { postgresEnvironment } from "../../../src/db/embedded/create-cluster.js";
import {
  findPlatformPackage,
  preparePostgresBinaries,
  thisMachine,
} from "../../../src/db/embedded/postgres-binaries.js";

import { freePort } from "../../support/free-port.js";

/** A Postgres on a given cluster that takes no writes, because it takes itself for a standby. */
export type Standby = {
  port: number;
  /** Makes it a primary, without a restart. */
  promote(): Promise<void>;
  stop(): Promise<void>;
};

type Running = { port: number; stop(): Promise<void> };

/**
 * Starts the cluster of a stopped Postgres as a standby.
 * @param adminUrlAt of the superuser, at a port
 */
export async function startStandby(
  dataDirectory: string,
  cluster: string,
  adminUrlAt: (port: number) => string,
): Promise<Standby> {
  const home = await settleClusterHome(dataDirectory, "/var/lib/factory-secrets");
  const binaries = await preparePostgresBinaries(await findPlatformPackage(thisMachine()), home);
  const start = async (): Promise<Running> => {
    const port = await freePort();
    const settings = {
      port,
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      fsync: "off",
      wal_level: "replica",
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const child = spawn(join(binaries, "postgres"), ["-D", cluster, ...args], {
      ...home.account,
      cwd: "/",
      env: postgresEnvironment,
      stdio: "ignore",
    });
    const exited = once(child, "exit");
    await untilAnswers(adminUrlAt(port));
    return {
      port,
      async stop() {
        child.kill("SIGINT");
        await exited;
      },
    };
  };
  // A standby must find in the log that its primary wrote enough for one, and the embedded Postgres writes less.
  const primary = await start();
  await primary.stop();
  const signal = join(cluster, "standby.signal");
  await writeFile(signal, "");
  const { uid, gid } = await stat(cluster);
  await chown(signal, uid, gid);
  const { port, stop } = await start();
  return {
    port,
    promote: () => ask(adminUrlAt(port), "SELECT pg_promote()"),
    async stop() {
      await stop();
      await rm(signal, { force: true });
    },
  };
}

async function ask(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function untilAnswers(url: string): Promise<void> {
  for (const deadline = performance.now() + 60_000; ; ) {
    const failure = await ask(url, "SELECT 1").then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) return;
    if (performance.now() > deadline) throw failure;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
