import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceDatabase } from "../db/open-service-database.js";
import type { Logger } from "../observability/log.js";
import type { App } from "./app.js";

/** How long what is in flight may take once nothing new is accepted. */
const inFlightMs = 10_000;

type Stopping = {
  app: Pick<App, "server" | "metricsServer" | "deviceServer" | "drain" | "close">;
  database: Pick<ServiceDatabase, "close">;
  log: Logger;
  drainSeconds: number;
  /** Ends the drain at once. */
  hurry: AbortSignal;
};

/**
 * Stops the service so that no request is lost behind a proxy that looks at `/readyz`:
 * 1. drain: everything is answered, `/readyz` with 503 and all of it with `Connection: close`
 * 2. nothing new is accepted, and what is in flight ends
 * 3. what is pending is flushed; the database is closed last
 */
export async function shutDown({ app, database, log, drainSeconds, hurry }: Stopping): Promise<void> {
  log.info({ drainSeconds: hurry.aborted ? 0 : drainSeconds }, "stopping");
  app.drain.begin();
  await sleep(drainSeconds * 1_000, undefined, { signal: hurry }).catch(() => undefined);
  const servers = [app.server, app.metricsServer, app.deviceServer].filter((server) => server !== undefined);
  await Promise.all(servers.map(closeServer));
  await app.close().catch((err: unknown) => log.error({ err }, "not everything could be flushed"));
  await database.close().catch((err: unknown) => log.error({ err }, "the database did not close"));
  log.info("stopped");
  await new Promise<void>((resolve) => log.flush(() => resolve()));
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), inFlightMs);
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
