import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { HandshakeGuard } from "../http/guard-handshakes.js";
import type { Pipe } from "../http/mount.js";
import { createHttpServer, type Drain, type RefuseEarly } from "../http/server.js";
import type { TlsCertificate } from "../http/tls-certificate.js";
import type { Wire } from "../http/wire.js";
import { type Settings, SettingsError } from "../settings/settings.js";
import { metricsRoute } from "./health.js";
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

export type ListenAt = {
  host: string;
  port: number;
  /** The setting that gives the port. */
  setting: string;
};

/**
 * Makes a server listen.
 * @param onError - told of errors after that, such as a connection for which no file descriptor is free. Without a
 * listener they would end the process.
 * @returns the port
 * @throws SettingsError when the port is taken or not allowed, or the host is not of this machine
 */
export function listen(server: Server, at: ListenAt, onError: (error: Error) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      const mistake = listenMistake(error.code, at);
      reject(mistake === undefined ? error : new SettingsError([mistake]));
    };
    server.on("error", refuse);
    server.listen(at.port, at.host, () => {
      server.on("error", onError);
      server.off("error", refuse);
      resolve(addressOf(server).port);
    });
  });
}

function listenMistake(code: string | undefined, { host, port, setting }: ListenAt): string | undefined {
  if (code === "EADDRINUSE") return `${host}:${port} is taken by another program. Choose another ${setting}.`;
  if (code === "EACCES") return `This user may not listen on port ${port}. Choose another ${setting}.`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN")
    return `HOST is ${host}, which is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them.`;
  return undefined;
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has an address and a port");
  return address;
}
