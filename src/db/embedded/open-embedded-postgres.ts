import { setTimeout as sleep } from "node:timers/promises";
import { prepareDataDirectory } from "../data-directory.js";
import { announceWhenSlow, type OnProgress } from "../slow-step.js";
import { type ClusterHome, settleClusterHome } from "./cluster-home.js";
import { type Connection, connectionUrl, ensureConnection, writeConnection } from "./connection-file.js";
import {
  checkMajorVersion,
  clusterExists,
  createCluster,
  type Durability,
  removeUnfinishedClusters,
} from "./create-cluster.js";
import { lockDirectory } from "./directory-lock.js";
import { checkIsOurs, ensureDatabase } from "./ensure-database.js";
import {
  findPlatformPackage,
  type PlatformPackage,
  preparePostgresBinaries,
  thisMachine,
} from "./postgres-binaries.js";
import { boundPostgresLog, type Postmaster, runPostmaster, stopPostmaster } from "./postmaster.js";
import { respondsToSignals } from "./process-identity.js";

export type EmbeddedPostgresDeps = {
  /** Told of each step that takes longer than a second. */
  onProgress: OnProgress;
  /** Told once when Postgres is gone although nobody stopped it: nothing can be served any more. */
  onUnexpectedExit: (message: string) => void;
  /** The binaries; those that npm installed for this machine when absent. */
  platformPackage?: PlatformPackage;
};

export type EmbeddedPostgresInput = {
  dataDirectory: string;
  /** As root, where the cluster goes when the account that Postgres runs under cannot enter the data directory. */
  systemDirectory?: string;
  /** On by default. Off only for a database that is thrown away. */
  durability?: Durability;
};

export type EmbeddedPostgres = {
  /** Of the service's own database; its role owns it and is no superuser. Holds the password. */
  url: string;
  /** Of the maintenance database, as superuser. Holds the password. */
  adminUrl: string;
  /** Where Postgres keeps its files: in the data directory, or below the system directory. */
  cluster: string;
  /** The process id of the postmaster. */
  pid: number;
  /** Stops Postgres and gives the data directory free. To be called last, when every connection is closed. */
  stop(): Promise<void>;
};

const watchMs = 1000;
const boundLogEveryMs = 60_000;

/**
 * Starts Postgres on a data directory, or adopts the one that a killed service left running there, and gives its URL
 * once it takes connections. The first start makes the cluster, its role and its database.
 * @throws {DatabaseUnusable} when another process holds the directory, or with what else a person has to put right.
 */
export async function openEmbeddedPostgres(
  deps: EmbeddedPostgresDeps,
  input: EmbeddedPostgresInput,
): Promise<EmbeddedPostgres> {
  const platformPackage = deps.platformPackage ?? (await findPlatformPackage(thisMachine()));
  const dataDirectory = await prepareDataDirectory(input.dataDirectory);
  const lock = await lockDirectory(dataDirectory);
  try {
    const home = await settleClusterHome(dataDirectory, input.systemDirectory ?? "/var/lib/factory-secrets");
    const durability = input.durability ?? { fsync: true };
    const start = { dataDirectory, home, durability, platformPackage };
    const { postmaster, connection } = await startOrAdopt(deps, start);
    const stopWatching = watch(deps, dataDirectory, postmaster);
    const stop = async () => {
      stopWatching();
      await announceWhenSlow(deps.onProgress, "Stopping Postgres ...", () => stopPostmaster(postmaster));
      await lock.release();
    };
    let stopped: Promise<void> | undefined;
    return {
      url: connectionUrl(connection, "service", postmaster.port),
      adminUrl: connectionUrl(connection, "admin", postmaster.port),
      cluster: home.cluster,
      pid: postmaster.pid,
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

type Start = { dataDirectory: string; home: ClusterHome; durability: Durability; platformPackage: PlatformPackage };

async function startOrAdopt(
  { onProgress }: EmbeddedPostgresDeps,
  { dataDirectory, home, durability, platformPackage }: Start,
): Promise<{ postmaster: Postmaster; connection: Connection }> {
  await removeUnfinishedClusters(home);
  const isFirst = !(await clusterExists(home.cluster));
  const connection = await ensureConnection(dataDirectory, !isFirst);
  if (!isFirst) await checkMajorVersion(home.cluster, platformPackage.version);
  const prepareBinaries = () => preparePostgresBinaries(platformPackage, home);
  if (isFirst) {
    const superuser = { name: connection.adminUser, password: connection.adminPassword };
    await announceWhenSlow(onProgress, "Making a new Postgres database (only the first time) ...", async () =>
      createCluster(await prepareBinaries(), home, superuser, durability),
    );
  }
  await boundPostgresLog(dataDirectory);
  const { postmaster, adopted } = await announceWhenSlow(onProgress, "Starting Postgres ...", () =>
    runPostmaster({ dataDirectory, home, durability, prepareBinaries }),
  );
  try {
    if (adopted) await checkIsOurs(connection, postmaster.port, home.cluster);
    await ensureDatabase(connection, postmaster.port);
    await writeConnection(dataDirectory, { ...connection, port: postmaster.port });
  } catch (error) {
    if (!adopted) await stopPostmaster(postmaster);
    throw error;
  }
  return { postmaster, connection };
}

function watch(deps: EmbeddedPostgresDeps, dataDirectory: string, { pid }: Postmaster): () => void {
  const watching = new AbortController();
  void repeat(watchMs, watching.signal, async () => {
    if (respondsToSignals(pid)) return;
    watching.abort();
    deps.onUnexpectedExit(
      `Postgres (process ${pid}) has ended. Its last words are in postgres.log in ${dataDirectory}.`,
    );
  });
  void repeat(boundLogEveryMs, watching.signal, () => boundPostgresLog(dataDirectory));
  return () => watching.abort();
}

async function repeat(everyMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    // Unreferenced: watching alone keeps no process alive. Ends with a rejection when aborted.
    await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (!signal.aborted) await work().catch(() => undefined);
  }
}
