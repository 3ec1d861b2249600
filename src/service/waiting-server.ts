import { Problem } from "../core/problem.js";
import type { Pipe } from "../http/mount.js";
import { createHttpServer } from "../http/server.js";
import { openTlsCertificate } from "../http/tls-certificate.js";
import type { Logger } from "../observability/log.js";
import type { Settings } from "../settings/settings.js";
import { healthz, readyz } from "./health.js";
import { listen } from "./servers.js";
import { databaseAway } from "./wiring/system.js";

/** What listens while the service waits for its database. */
export type WaitingServer = {
  /** Listens, unless it does already or is closed. @throws SettingsError as `listen`, TlsCertificateError */
  open(): Promise<void>;
  /** Gives the port free for the service itself. */
  close(): Promise<void>;
};

const openPaths: ReadonlySet<string> = new Set([healthz.path, readyz.path]);

const notYet = (): Problem =>
  new Problem("unavailable", "The service waits for its database. Try again.", { retryAfterSeconds: 1 });

// Neither route asks who the caller is.
const pipe: Pipe = {
  authenticate: async () => undefined,
  findFactory: async () => undefined,
  countCostly: async () => undefined,
  pageTokens: { seal: async () => "", open: async () => undefined },
  recordRefusal: async () => undefined,
  errorShapeOf: () => undefined,
  onAnswered: () => undefined,
};

/**
 * Makes the server that answers on the service's port before there is a service: `/healthz` says that the process is
 * alive, so no one kills it for waiting; `/readyz` is 503 and names the database; everything else is 503.
 */
export function createWaitingServer(settings: Settings, log: Logger): WaitingServer {
  let state: "new" | "closed" | { close(): Promise<void> } = "new";
  return {
    async open() {
      if (state !== "new") return;
      const { host, port, trustedProxies, tls } = settings;
      const certificate =
        tls &&
        openTlsCertificate({ files: tls, onProblem: (sentence) => log.warn(sentence), onReload: () => undefined });
      const server = createHttpServer({
        routes: [healthz, readyz],
        deps: { probes: [{ name: "database", reason: databaseAway, check: async () => "failed" as const }] },
        ...{ pipe, trustedProxies, certificate },
        refuseEarly: ({ url }) => (openPaths.has(url?.split("?")[0] ?? "") ? undefined : notYet()),
      });
      const close = async (): Promise<void> => {
        certificate?.close();
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeAllConnections();
        await closed;
      };
      state = { close };
      const onError = (err: Error): void => log.warn({ err }, "a connection could not be accepted");
      const found = await listen(server, { host, port, setting: "PORT" }, onError);
      log.info({ host, port: found }, "waiting for the database: only /healthz and /readyz are served");
    },
    async close() {
      const before = state;
      state = "closed";
      if (typeof before === "object") await before.close();
    },
  };
}
