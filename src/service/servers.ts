import type { Server } from "node:http";
import type { Drain } from "../http/drain.js";
import type { HandshakeGuard } from "../http/guard-handshakes.js";
import type { Pipe } from "../http/mount.js";
import { createHttpServer, type RefuseEarly } from "../http/server.js";
import type { TlsCertificate } from "../http/tls-certificate.js";
import type { Wire } from "../http/wire.js";
import type { Settings } from "../settings/settings.js";
import { metricsRoute } from "./health/routes.js";
import type { RouteDeps } from "./route-deps.js";
import { deviceRoutes, routes } from "./routes.js";

export type Servers = {
  server: Server;
  /** Serves only /metrics, when the settings give it a port of its own. In plain HTTP: who scrapes it is inside. */
  metricsServer: Server | undefined;
  /** Serves devices, which show their certificates in the handshake, when the settings give them a port. */
  deviceServer: Server | undefined;
};

/** Makes the servers that the settings ask for. */
export function createServers(input: {
  settings: Settings;
  deps: RouteDeps;
  pipe: Pipe;
  certificate: TlsCertificate | undefined;
  refuseEarly: RefuseEarly;
  handshakes: HandshakeGuard;
  drain: Drain;
  /** On both listeners that clients come to. */
  wire: Wire;
}): Servers {
  const { settings, deps, pipe, certificate, refuseEarly, handshakes, drain, wire } = input;
  const common = { deps, pipe, drain, trustedProxies: settings.trustedProxies };
  const open = { ...common, certificate, refuseEarly, wire };
  const hasMetricsPort = settings.metricsPort !== undefined;
  const mainRoutes = hasMetricsPort ? routes.filter((route) => route.id !== metricsRoute.id) : routes;
  return {
    server: createHttpServer({ ...open, routes: mainRoutes }),
    metricsServer: hasMetricsPort ? createHttpServer({ ...common, routes: [metricsRoute] }) : undefined,
    deviceServer:
      settings.devices.port === undefined
        ? undefined
        : createHttpServer({ ...open, routes: deviceRoutes, asksForCertificates: handshakes }),
  };
}
