import { setTimeout as sleep } from "node:timers/promises";
import { databaseTrouble, mayPass, sqlState } from "../core/database-errors.js";
import { errorCode } from "../core/error-code.js";
import type { Settings } from "../settings/settings.js";

/** The service was asked to stop before it had started. */
export class StoppedWhileStarting extends Error {
  override readonly name = "StoppedWhileStarting";
}

export type Waiting = {
  /** Receives a sentence at once, whenever the reason changes, and every half a minute. */
  say: (sentence: string) => void;
  /** Ends the wait. */
  stopping: AbortSignal;
  /** Called before the first wait. */
  onWaiting: () => Promise<void>;
};

const retryMs = 1_000;
const repeatMs = 30_000;

/**
 * Does `work`, and does it again each second while the database cannot be used: after a power cut it often comes up later
 * than the service, and during a switchover nobody answers for a while. There is no limit of time: whoever watches
 * `/readyz` and the log knows what it waits for, and an exit would only make the supervisor start it anew.
 * @param url of the database, for the sentences
 * @throws DatabaseUnusable at once for what somebody must set right: a wrong password, a missing database; any error of
 * `work` that is not trouble of the database; StoppedWhileStarting
 */
export async function whenDatabaseAnswers<T>(url: string, waiting: Waiting, work: () => Promise<T>): Promise<T> {
  let told = { sentence: "", atMs: 0 };
  let isFirst = true;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const trouble = databaseTrouble(error);
      const explained = explainConnection(error, url);
      if (trouble === undefined || !mayPass(trouble)) throw explained;
      if (waiting.stopping.aborted) throw new StoppedWhileStarting();
      const sentence = explained instanceof Error ? explained.message : String(explained);
      const nowMs = performance.now();
      if (sentence !== told.sentence || nowMs - told.atMs >= repeatMs) {
        waiting.say(`${sentence} Waiting for it; /readyz answers 503 meanwhile.`);
        told = { sentence, atMs: nowMs };
      }
      if (isFirst) await waiting.onWaiting();
      isFirst = false;
      await sleep(retryMs, undefined, { signal: waiting.stopping }).catch(() => undefined);
      if (waiting.stopping.aborted) throw new StoppedWhileStarting();
    }
  }
}

/** Does a piece of work of the start, and waits for the database where that can help. */
export type Patiently = <T>(work: () => Promise<T>) => Promise<T>;

/** Waits for the operator's database. The service's own one it starts itself: there is nothing to wait for. */
export function patienceFor(database: Settings["database"], waiting: Waiting): Patiently {
  if (database.kind === "embedded") return (work) => work();
  return (work) => whenDatabaseAnswers(database.url, waiting, work);
}

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

/**
 * The database cannot be started, adopted or brought up to date.
 * The message is one or two sentences for the person who starts the service: what is wrong and what to do. It never holds a password.
 */
export class DatabaseUnusable extends Error {
  override readonly name = "DatabaseUnusable";
}
