import type pg from "pg";
import { errorCode } from "../../core/error-code.js";
import { createClient } from "../connections.js";
import { DatabaseUnusable } from "../wait-for-database.js";
import { type Connection, connectionUrl } from "./connection-file.js";

// Postgres documentation, appendix A: wrong password or no such role, no such role, no such database.
const notMadeYet = new Set(["28P01", "28000", "3D000"]);

/** Makes the service's role and its database if a first start did not come to it. The role is no superuser. */
export async function ensureDatabase(connection: Connection, port: number): Promise<void> {
  if (await canConnect(connectionUrl(connection, "service", port))) return;
  await asAdmin(connection, port, async (admin) => {
    const role = admin.escapeIdentifier(connection.user);
    const database = admin.escapeIdentifier(connection.database);
    const roles = await admin.query("SELECT FROM pg_roles WHERE rolname = $1", [connection.user]);
    const verb = roles.rowCount === 0 ? "CREATE" : "ALTER";
    await admin.query(`${verb} ROLE ${role} LOGIN PASSWORD ${admin.escapeLiteral(connection.password)}`);
    const databases = await admin.query("SELECT FROM pg_database WHERE datname = $1", [connection.database]);
    if (databases.rowCount === 0) await admin.query(`CREATE DATABASE ${database} OWNER ${role}`);
  });
}

/** @throws {DatabaseUnusable} when what listens on the port is not the Postgres of this cluster. */
export async function checkIsOurs(connection: Connection, port: number, cluster: string): Promise<void> {
  const found = await asAdmin(connection, port, async (admin) => {
    const { rows } = await admin.query<{ data_directory: string }>("SHOW data_directory");
    return rows[0]?.data_directory;
  });
  if (found === cluster) return;
  throw new DatabaseUnusable(`The Postgres on port ${port} serves ${found}, not ${cluster}. Stop it and start again.`);
}

async function asAdmin<T>(connection: Connection, port: number, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = createClient({ connectionString: connectionUrl(connection, "admin", port) });
  try {
    await admin.connect();
    return await work(admin);
  } catch (error) {
    if (!notMadeYet.has(errorCode(error) ?? "")) throw error;
    throw new DatabaseUnusable(
      "The embedded Postgres refuses the password in connection.json. Bring that file back from the backup that the database is from.",
      { cause: error },
    );
  } finally {
    await admin.end().catch(() => undefined);
  }
}

async function canConnect(url: string): Promise<boolean> {
  const client = createClient({ connectionString: url });
  try {
    await client.connect();
    return true;
  } catch (error) {
    if (notMadeYet.has(errorCode(error) ?? "")) return false;
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
