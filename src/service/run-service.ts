import type { Server } from "node:http";
import { AuditWriter } from "../audit/record.js";
import { visible } from "../core/visible-text.js";
import { KeyUnavailable } from "../crypto/key-encryption-key.js";
import type { KeyRing } from "../crypto/key-ring.js";
import { readActiveKey } from "../crypto/open-key-ring.js";
import { isReadableByOthers, KeyFormatError } from "../crypto/read-key.js";
import { openServiceDatabase, type ServiceDatabase } from "../db/open-service-database.js";
import { DatabaseUnusable, type Patiently, patienceFor, StoppedWhileStarting } from "../db/wait-for-database.js";

import { TlsCertificateError } from "../http/tls-certificate.js";
import { createOperatorToken } from "../identity/credentials/create-credential.js";
import { createLogger, type Logger } from "../observability/log.js";
import { isLoopback } from "../settings/listener-settings.js";
import { readSettings, type Settings, SettingsError } from "../settings/settings.js";
import { type App, createApp } from "./app.js";
import { firstSteps, laterStart } from "./first-steps.js";
import { claimInstallation } from "./health.js";
import { keyFiles, openKeysPatiently } from "./key-source.js";
import { listen } from "./servers.js";
import { shutDown } from "./shut-down.js";
import { sweep } from "./sweep.js";
import { createWaitingServer, type WaitingServer } from "./waiting-server.js";

const sweepMs = 3_600_000;

/** A sentence for the operator: standard error, so that the log on standard output stays JSON. */
const say = (text: string): void => void process.stderr.write(`${visible(text)}\n`);

// A reader of the output that is gone must not end the service.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

async function start(environment: NodeJS.ProcessEnv): Promise<void> {
  const settings = readSettings(environment);
  const log = createLogger(settings.logLevel);
  // Asked to stop before it has started: it finishes starting and then stops, so that Postgres is never left behind.
  let exitCode: number | undefined;
  let stop: (() => Promise<void>) | undefined;
  const askedToStop = new AbortController();
  const hurry = new AbortController();
  const askToStop = (code: number, mayDrain: boolean): void => {
    // Before it has started, and without a database, no one is sent here. A second signal ends the drain.
    if (!mayDrain || stop === undefined || exitCode !== undefined) hurry.abort();
    exitCode ??= code;
    askedToStop.abort();
    void stop?.();
  };
  process.on("SIGTERM", () => askToStop(0, true));
  // Ctrl-C: a person is waiting.
  process.on("SIGINT", () => askToStop(0, false));
  const waitingServer = createWaitingServer(settings, log);
  const patiently = patienceFor(settings.database, {
    say(sentence) {
      say(sentence);
      log.warn(sentence);
    },
    stopping: askedToStop.signal,
    onWaiting: waitingServer.open,
  });
  const database = await openServiceDatabase(settings, {
    patiently,
    onProgress: say,
    onError: (err) => log.warn({ err }, "a database connection broke"),
    onUnexpectedExit: (message) => {
      log.fatal(message);
      say(message);
      askToStop(1, false);
    },
  }).catch((error: unknown) => {
    // Ctrl-C in a terminal ends initdb too: that is not a failure.
    throw askedToStop.signal.aborted ? new StoppedWhileStarting() : error;
  });
  const start = { settings, database, log, stopping: askedToStop.signal, patiently, waitingServer };
  const app = await startOn(start).catch(async (error: unknown) => {
    await database.close();
    throw error;
  });
  const sweeping = setInterval(() => void sweep({ app, settings, database, log }), sweepMs).unref();
  let stopping: Promise<void> | undefined;
  stop = () => {
    clearInterval(sweeping);
    const { drainSeconds } = settings;
    stopping ??= shutDown({ app, database, log, drainSeconds, hurry: hurry.signal }).then(() => process.exit(exitCode));
    return stopping;
  };
  if (exitCode !== undefined) await stop();
}

type Start = {
  settings: Settings;
  database: ServiceDatabase;
  log: Logger;
  stopping: AbortSignal;
  patiently: Patiently;
  waitingServer: WaitingServer;
};

async function startOn({ settings, database, log, stopping, patiently, waitingServer }: Start): Promise<App> {
  const { prisma, dataDirectory } = database;
  const keys = await patiently(() => openKeysPatiently(prisma, settings, dataDirectory, { say, stopping }));
  await warnOfOpenFiles(keys);
  const app = createApp({ settings, database, directUrl: database.directUrl, keys, log });
  for (const sentence of app.outboundInForce) log.warn(sentence);
  // Without a certificate SIGHUP ends the process, as it does by default.
  if (settings.tls) process.on("SIGHUP", app.reloadCertificate);
  try {
    const onError = (err: Error): void => log.warn({ err }, "a connection could not be accepted");
    const open = (server: Server, port: number, setting: string): Promise<number> =>
      listen(server, { host: settings.host, port, setting }, onError);
    await waitingServer.close();
    const port = await open(app.server, settings.port, "PORT");
    const metricsPort =
      app.metricsServer && (await open(app.metricsServer, settings.metricsPort ?? 0, "FACTORY_SECRETS_METRICS_PORT"));
    if (metricsPort !== undefined) say(`/metrics is served on port ${metricsPort}.`);
    const devicePort =
      app.deviceServer && (await open(app.deviceServer, settings.devices.port ?? 0, "FACTORY_SECRETS_DEVICE_PORT"));
    await greet({ url: app.publicUrl(), settings, database, keys, patiently });
    if (!settings.tls && !isLoopback(settings.host))
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

type Greeting = {
  url: string;
  settings: Settings;
  database: ServiceDatabase;
  keys: KeyRing;
  patiently: Patiently;
};

async function greet({ url, settings: { tls }, database, keys, patiently }: Greeting): Promise<void> {
  const { prisma, pool, dataDirectory } = database;
  if (!(await patiently(() => claimInstallation(prisma)))) return say(laterStart({ url, dataDirectory }));
  const audit = new AuditWriter(pool);
  const first = { name: "first operator", maker: undefined };
  const { token } = await patiently(() => createOperatorToken({ prisma, audit }, first));
  const active = await patiently(() => readActiveKey(prisma));
  const keySource = active && keys.find(active.id)?.source;
  say(firstSteps({ url, token, dataDirectory, keySource, ownTls: tls !== undefined }));
}

/**
 * Runs the service until it is told to stop. What keeps it from starting is said in a sentence on standard error, and the
 * process ends with 1.
 * @param environment - the settings, as an operator has set them
 */
export async function runService(environment: NodeJS.ProcessEnv): Promise<void> {
  try {
    await start(environment);
  } catch (error) {
    if (error instanceof StoppedWhileStarting) {
      say("Stopped before it had started.");
      process.exit(0);
    }
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
}
