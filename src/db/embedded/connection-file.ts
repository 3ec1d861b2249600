import { randomBytes } from "node:crypto";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { readPrivateFile, writePrivateFile } from "../data-directory.js";
import { DatabaseUnusable } from "../wait-for-database.js";
import { locateCluster } from "./cluster-home.js";
import { findPostmaster } from "./postmaster.js";

const Password = z.string().regex(/^[A-Za-z0-9_-]+$/);
const Connection = z.object({
  /** Of the last start; absent before the first. */
  port: z.int().min(1).max(65535).optional(),
  database: z.literal("factory_secrets"),
  user: z.literal("factory_secrets"),
  password: Password,
  adminUser: z.literal("postgres"),
  adminPassword: Password,
});

/** What `connection.json` in the data directory holds: the service's own role, which owns its database, and the superuser. */
export type Connection = z.output<typeof Connection>;

/**
 * The connection of a data directory, made with new passwords when it has none.
 * @throws {DatabaseUnusable} when a cluster exists but its passwords are lost or damaged.
 */
export async function ensureConnection(dataDirectory: string, clusterExists: boolean): Promise<Connection> {
  const stored = await readConnection(dataDirectory);
  if (stored !== undefined) return stored;
  if (clusterExists) {
    throw new DatabaseUnusable(
      `${connectionPath(dataDirectory)} is missing, and with it the password of the database beside it. Bring it back from a backup.`,
    );
  }
  const connection = {
    database: "factory_secrets",
    user: "factory_secrets",
    password: randomPassword(),
    adminUser: "postgres",
    adminPassword: randomPassword(),
  } as const;
  await writeConnection(dataDirectory, connection);
  return connection;
}

export async function writeConnection(dataDirectory: string, connection: Connection): Promise<void> {
  await writePrivateFile(connectionPath(dataDirectory), `${JSON.stringify(connection, undefined, 2)}\n`);
}

/** The URL of the service's database (its own role) or of the server's maintenance database (superuser). */
export function connectionUrl(connection: Connection, role: "service" | "admin", port: number): string {
  return role === "service"
    ? `postgresql://${connection.user}:${connection.password}@127.0.0.1:${port}/${connection.database}`
    : `postgresql://${connection.adminUser}:${connection.adminPassword}@127.0.0.1:${port}/postgres`;
}

/**
 * The database of a service that runs in this data directory, for commands beside it; `undefined` when none runs.
 * The port is taken from the running postmaster, not from the file: whoever has taken over an old port must not be sent the password.
 * @throws {DatabaseUnusable} when the files belong to another user or are damaged.
 */
export async function readEmbeddedConnection(dataDirectory: string): Promise<{ url: string } | undefined> {
  // As the service does: the postmaster is recognised by the path that it was started on.
  const directory = await realpath(dataDirectory).catch(() => dataDirectory);
  const connection = await readConnection(directory);
  const cluster = await locateCluster(directory);
  if (connection === undefined || cluster === undefined) return undefined;
  const postmaster = await findPostmaster(cluster);
  if (postmaster?.status !== "ready") return undefined;
  return { url: connectionUrl(connection, "service", postmaster.port) };
}

async function readConnection(dataDirectory: string): Promise<Connection | undefined> {
  const path = connectionPath(dataDirectory);
  const text = await readPrivateFile(path);
  if (text === undefined) return undefined;
  try {
    return Connection.parse(JSON.parse(text));
  } catch {
    // Without the cause: a parser's message quotes its input, which holds the passwords.
    throw new DatabaseUnusable(`${path} is damaged. Bring it back from a backup.`);
  }
}

function connectionPath(dataDirectory: string): string {
  return join(dataDirectory, "connection.json");
}

function randomPassword(): string {
  return randomBytes(24).toString("base64url");
}
