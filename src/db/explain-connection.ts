import { databaseTrouble, sqlState } from "../core/database-errors.js";
import { errorCode } from "../core/error-code.js";
import { DatabaseUnusable } from "./database-unusable.js";

/**
 * What keeps the service from the operator's database, as a sentence with what to check; any other error as it is.
 * @param url of the database; only its host, port and database name are told
 * @param setting that holds the URL
 */
export function explainConnection(
  error: unknown,
  url: string,
  setting: "DATABASE_URL" | "DATABASE_DIRECT_URL" = "DATABASE_URL",
): unknown {
  if (error instanceof DatabaseUnusable) return error;
  const { host, name } = placeOf(url);
  const reason = reasonOf(error, name);
  if (reason === undefined) return error;
  return new DatabaseUnusable(`The database at ${host}, which ${setting} names, ${reason}`, { cause: error });
}

function reasonOf(error: unknown, database: string): string | undefined {
  const code = sqlState(error) ?? errorCode(error);
  if (code === "ECONNREFUSED") return "refuses connections. Is Postgres running there, on that port?";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return "cannot be found: its host name does not resolve. Check the host.";
  if (code === "57P03") return "is starting up or shutting down, and takes no connections yet.";
  const trouble = databaseTrouble(error);
  switch (trouble) {
    case "login":
      // `pg` has no code for what goes wrong while it proves that it knows the password.
      if (code === undefined) return "wants a password that fits. Check it.";
      return "refuses this user or password. Check both, and pg_hba.conf of the server.";
    case "missing":
      return `has no database named ${database}. Create it, with ENCODING 'UTF8'.`;
    case "tls":
      return tlsReason(error);
    case "read-only":
      return "is read-only: it is a standby, or default_transaction_read_only is on. Name the primary.";
    case "crowded":
      return "has no free connection. Raise max_connections, or lower FACTORY_SECRETS_DATABASE_CONNECTIONS.";
    case "full":
      return `has no room on its disk or in memory (${code ?? "no code"}). Look at its log.`;
    case "away":
    case "disturbed":
      return "does not answer. Check host, port, the network between, and whether the server takes more connections.";
    case undefined:
      return undefined;
    default:
      return trouble satisfies never;
  }
}

/** Postgres documentation, "SSL Support"; `sslmode` as `pg` reads it from the URL. */
function tlsReason(error: unknown): string {
  const code = errorCode(error) ?? "";
  const noTls = error instanceof Error && error.message.startsWith("The server does not support SSL");
  if (noTls) return "does not speak TLS, which sslmode in the URL asks for. Set ssl = on there, or take sslmode out.";
  if (/ALTNAME|HOSTNAME_MISMATCH/.test(code))
    return `shows a TLS certificate for another host name (${code}). Use the name that is in the certificate.`;
  if (/EXPIRED|NOT_YET_VALID/.test(code))
    return `shows a TLS certificate that is not valid today (${code}). Renew it, or look at the clock of this machine.`;
  if (/SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY|UNTRUSTED|INVALID_CA/.test(code))
    return `shows a TLS certificate that is not trusted here (${code}). Add sslrootcert=/PATH/ca.pem to the URL.`;
  return `cannot be spoken to over TLS${code && ` (${code})`}. Check sslmode in the URL, and the TLS settings of the server.`;
}

function placeOf(url: string): { host: string; name: string } {
  const { hostname, port, pathname, searchParams } = new URL(url);
  // The directory of a Unix socket has no place but the query.
  const host = hostname || (searchParams.get("host") ?? "localhost");
  return { host: `${host}:${port || "5432"}`, name: pathname.slice(1) };
}
