import { isDatabaseUnavailable } from "../core/database-errors.js";
import { errorCode } from "../core/error-code.js";
import { DatabaseUnusable } from "./database-unusable.js";

/**
 * What keeps the service from the operator's database, as a sentence with what to check; any other error as it is.
 * @param url of the database; only its host, port and database name are told
 */
export function explainConnection(error: unknown, url: string): unknown {
  if (error instanceof DatabaseUnusable) return error;
  const { host, name } = placeOf(url);
  const reason = reasonOf(error, name);
  if (reason === undefined) return error;
  return new DatabaseUnusable(`The database at ${host}, which DATABASE_URL names, ${reason}`, { cause: error });
}

function reasonOf(error: unknown, database: string): string | undefined {
  switch (errorCode(error)) {
    case "ECONNREFUSED":
      return "refuses connections. Is Postgres running there, on that port?";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "cannot be found: its host name does not resolve. Check the host.";
    case "28P01":
    case "28000":
      return "refuses this user or password. Check both, and pg_hba.conf of the server.";
    case "3D000":
      return `has no database named ${database}. Create it, with ENCODING 'UTF8'.`;
    default:
      break;
  }
  // `pg` has no code for it.
  if (error instanceof Error && error.message.startsWith("SASL: ")) return "wants a password that fits. Check it.";
  return isDatabaseUnavailable(error)
    ? "does not answer. Check host, port, the network between, and whether the server takes more connections."
    : undefined;
}

function placeOf(url: string): { host: string; name: string } {
  const { hostname, port, pathname, searchParams } = new URL(url);
  // The directory of a Unix socket has no place but the query.
  const host = hostname || (searchParams.get("host") ?? "localhost");
  return { host: `${host}:${port || "5432"}`, name: pathname.slice(1) };
}
