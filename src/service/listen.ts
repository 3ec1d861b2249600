import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { SettingsError } from "../settings/settings.js";

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
    return `HOST is ${host}, which is no address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them.`;
  return undefined;
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has an address and a port");
  return address;
}
