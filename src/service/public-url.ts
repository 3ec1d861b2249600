import type { Server } from "node:http";
import type { Settings } from "../settings/settings.js";

/**
 * How clients reach the service: what the operator says, else the address that it listens on. Never taken from `Host`,
 * which whoever asks can choose.
 * @param server - the main one, which listens by the time that somebody asks
 */
export function publicUrlOf(settings: Pick<Settings, "publicUrl" | "host" | "tls">, server: Server): string {
  if (settings.publicUrl !== undefined) return settings.publicUrl;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a server that listens has an address");
  const host = /^(0\.0\.0\.0|::)$/.test(settings.host) ? "127.0.0.1" : settings.host;
  const scheme = settings.tls ? "https" : "http";
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
}
