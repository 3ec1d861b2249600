import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { AuditWriter } from "../audit/record.js";
import { KeyUnavailable } from "../crypto/key-encryption-key.js";
import type { KeyRing } from "../crypto/key-ring.js";
import { isReadableByOthers, KeyFormatError } from "../crypto/read-key.js";
import { readActiveKey } from "../crypto/store.js";
import { DatabaseUnusable } from "../db/database-unusable.js";
import { openServiceDatabase, type ServiceDatabase } from "../db/open-service-database.js";
import { TlsCertificateError } from "../http/tls-certificate.js";
import { createOperatorToken } from "../identity/credentials/create-credential.js";
import { createLogger, type Logger } from "../observability/log.js";
import { readSettings, type Settings, SettingsError } from "../settings/settings.js";
import { type App, createApp } from "./app.js";
import { firstSteps, laterStart } from "./first-steps.js";
import { claimInstallation } from "./health/store.js";
import { keyFiles, openKeysPatiently } from "./key-source.js";
import { sweep } from "./sweep.js";
import { visible } from "./visible-text.js";

const drainMs = 10_000;
const sweepMs = 3_600_000;

/** A sentence for the operator: standard error, so that the log on standard output stays JSON. */
const say = (text: string): void => void process.stderr.write(`${visible(text)}\n`);

async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const log = createLogger(settings.logLevel);
  // Asked to stop before it has started: it finishes starting and then stops, so that Postgres is never left behind.
  let exitCode: number | undefined;
  let stop: (() => Promise<void>) | undefined;
  const askedToStop = new AbortController();
  const askToStop = (code: number): void => {
    exitCode ??= code;
    askedToStop.abort();
    void stop?.();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => askToStop(0));
  const database = await openServiceDatabase(settings, {
    onProgress: say,
    onError: (err) => log.warn({ err }, "a database connection broke"),
    onUnexpectedExit: (message) => {
      log.fatal(message);
      say(message);
      askToStop(1);
    },
  });
  const app = await startOn(settings, database, log, askedToStop.signal).catch(async (error: unknown) => {
    await database.close();
    throw error;
  });
  const sweeping = setInterval(() => void sweep({ app, settings, database, log }), sweepMs).unref();
  let stopping: Promise<void> | undefined;
  stop = () => {
    clearInterval(sweeping);
    stopping ??= shutDown(app, database, log).then(() => process.exit(exitCode));
    return stopping;
  };
  if (exitCode !== undefined) await stop();
}

async function startOn(
  settings: Settings,
  database: ServiceDatabase,
  log: Logger,
  stopping: AbortSignal,
): Promise<App> {
  const keys = await openKeysPatiently(database.prisma, settings, database.dataDirectory, { say, stopping });
  await warnOfOpenFiles(keys);
  const app = createApp({ settings, database, directUrl: database.directUrl, keys, log });
  for (const sentence of app.outboundInForce) log.warn(sentence);
  // Without a certificate SIGHUP ends the process, as it does by default.
  if (settings.tls) process.on("SIGHUP", app.reloadCertificate);
  try {
    const port = await listen(app.server, settings.host, settings.port, "PORT");
    if (app.metricsServer)
      await listen(app.metricsServer, settings.host, settings.metricsPort ?? 0, "FACTORY_SECRETS_METRICS_PORT");
    const devicePort =
      app.deviceServer &&
      (await listen(app.deviceServer, settings.host, settings.devices.port ?? 0, "FACTORY_SECRETS_DEVICE_PORT"));
    await greet(app.publicUrl(), settings, database, keys);
    if (!settings.tls && !/^(localhost|127\..*|::1)$/.test(settings.host))
      say(
        `HOST is ${settings.host}: tokens travel there over plain HTTP. Set FACTORY_SECRETS_TLS_CERT_FILE, or put TLS in front of it.`,
      );
    if (devicePort !== undefined) say(`Devices are served on port ${devicePort}, by their certificates.`);
    log.info({ host: settings.host, port, devicePort }, "listening");
    return app;
  } catch (error) {
    app.server.close();
    await app.close();
    throw error;
  }
}

async function warnOfOpenFiles(keys: KeyRing): Promise<void> {
  for (const path of keyFiles(keys)) {
    if (await isReadableByOthers(path)) say(`Others on this machine may read the key. Run: chmod 600 ${path}`);
  }
}

async function greet(url: string, { tls }: Settings, database: ServiceDatabase, keys: KeyRing): Promise<void> {
  const { prisma, pool, dataDirectory } = database;
  if (!(await claimInstallation(prisma))) return say(laterStart({ url, dataDirectory }));
  const audit = new AuditWriter(pool);
  const { token } = await createOperatorToken({ prisma, audit }, { name: "first operator", maker: undefined });
  const active = await readActiveKey(prisma);
  const keySource = active && keys.find(active.id)?.source;
  say(firstSteps({ url, token, dataDirectory, keySource, ownTls: tls !== undefined }));
}

function listen(server: Server, host: string, port: number, setting: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const mistake = listenMistake(error.code, host, port, setting);
      reject(mistake === undefined ? error : new SettingsError([mistake]));
    });
    server.listen(port, host, () => resolve(addressOf(server).port));
  });
}

function listenMistake(code: string | undefined, host: string, port: number, setting: string): string | undefined {
  if (code === "EADDRINUSE") return `${host}:${port} is taken by another program. Choose another ${setting}.`;
  if (code === "EACCES") return `This user may not listen on port ${port}. Choose another ${setting}.`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN")
    return `HOST is ${host}, which is no address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them.`;
  return undefined;
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has an address and a port");
  return address;
}

/** Stops accepting, finishes what is in flight, flushes, closes. Postgres goes last. */
async function shutDown(app: App, database: ServiceDatabase, log: Logger): Promise<void> {
  log.info("stopping");
  const servers = [app.server, app.metricsServer, app.deviceServer].filter((server) => server !== undefined);
  await Promise.all(servers.map(drain));
  await app.close().catch((err: unknown) => log.error({ err }, "not everything could be flushed"));
  await database.close().catch((err: unknown) => log.error({ err }, "the database did not close"));
  log.info("stopped");
  await new Promise<void>((resolve) => log.flush(() => resolve()));
}

function drain(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), drainMs);
    // A connection that has just been answered is kept alive for more, and there is no more.
    const idle = setInterval(() => server.closeIdleConnections(), 20);
    server.close(() => {
      clearTimeout(timer);
      clearInterval(idle);
      resolve();
    });
    server.closeIdleConnections();
  });
}

try {
  await main();
} catch (error) {
  const expected =
    error instanceof SettingsError ||
    error instanceof DatabaseUnusable ||
    error instanceof KeyFormatError ||
    error instanceof KeyUnavailable ||
    error instanceof TlsCertificateError;
  say(
    expected
      ? error.message
      : `factory-secrets could not start: ${error instanceof Error ? error.stack : String(error)}`,
  );
  process.exit(1);
}
