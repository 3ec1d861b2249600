/**
 * Postgres' five-character code of an error (https://www.postgresql.org/docs/18/errcodes-appendix.html),
 * whether `pg` threw it or Prisma wrapped it; `undefined` when it is not one.
 */
export function sqlState(error: unknown): string | undefined {
  for (const one of withCauses(error)) {
    if (typeof one.originalCode === "string") return one.originalCode;
    if (typeof one.code === "string" && isSqlState(one.code)) return one.code;
  }
  return undefined;
}

/**
 * Why the database cannot do what it was asked just now, although nothing is wrong with the request:
 * - `away`: no connection, or it ended: stopped, starting, restarting, cut off
 * - `tls`: TLS to it cannot be made or trusted
 * - `read-only`: it takes no writes: a standby, a demoted primary, `default_transaction_read_only`
 * - `crowded`: no connection is free
 * - `full`: no room on its disk, no memory, or its disk fails
 * - `disturbed`: this statement lost against another one, or took too long
 * - `login`: it refuses the user or password
 * - `missing`: there is no database of that name
 */
export type DatabaseTrouble = "away" | "tls" | "read-only" | "crowded" | "full" | "disturbed" | "login" | "missing";

/**
 * The one classification of errors of the database. `undefined` for all that is not trouble of the database's own: a
 * constraint, a syntax error, damaged data. Those are mistakes, and the same request fails again.
 */
export function databaseTrouble(error: unknown): DatabaseTrouble | undefined {
  const state = sqlState(error);
  if (state !== undefined) return troubleOfState(state);
  for (const one of withCauses(error)) {
    const trouble = troubleOfCode(one) ?? (one instanceof Error ? troubleOfMessage(one.message) : undefined);
    if (trouble !== undefined) return trouble;
  }
  return undefined;
}

/** True when the same request may succeed a moment later, here or at another replica. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return databaseTrouble(error) !== undefined;
}

/** True when waiting can help: not for a wrong password or name, which someone must set right. */
export function mayPass(trouble: DatabaseTrouble): boolean {
  return trouble !== "login" && trouble !== "missing";
}

// The first that fits. 57P is before 57, as is each code before its class.
const troublesOfStates: readonly (readonly [RegExp, DatabaseTrouble])[] = [
  [/^25006$/, "read-only"],
  // Connection exceptions. PgBouncer tells all of its own troubles as 08P01.
  [/^08/, "away"],
  // Shut down, crashed, starting, database dropped, idle session ended.
  [/^57P/, "away"],
  [/^53300$/, "crowded"],
  // Disk full, out of memory, a limit of the configuration.
  [/^53/, "full"],
  // System error and input/output error. 58P is about files that are missing: damage.
  [/^580/, "full"],
  // Rolled back for another transaction's sake: serialization, deadlock, completion unknown.
  [/^40/, "disturbed"],
  // Object in use, lock not available.
  [/^55(006|P03)$/, "disturbed"],
  // Statement cancelled: its time-out, or an administrator.
  [/^57014$/, "disturbed"],
  // Idle in a transaction, or in a transaction, for too long.
  [/^25P0[34]$/, "disturbed"],
  // The snapshot is gone.
  [/^72000$/, "disturbed"],
  // Internal error: poolers say it while a server is replaced. XX001 and XX002 are corruption, which stays.
  [/^XX000$/, "away"],
  [/^28/, "login"],
  [/^3D000$/, "missing"],
];

function troubleOfState(state: string): DatabaseTrouble | undefined {
  return troublesOfStates.find(([pattern]) => pattern.test(state))?.[1];
}

/** Of the operating system and of Node's streams. */
const networkCodes = [
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ENETUNREACH"],
  ...["EHOSTUNREACH", "EHOSTDOWN", "ENETDOWN", "EADDRNOTAVAIL", "ERR_STREAM_DESTROYED"],
];

const troublesOfCodes: ReadonlyMap<string, DatabaseTrouble> = new Map<string, DatabaseTrouble>([
  ...networkCodes.map((code) => [code, "away"] as const),
  // Names of Prisma: https://www.prisma.io/docs/orm/reference/error-reference
  ...["P1001", "P1002", "P1008", "P1017", "P1018", "P2028"].map((code) => [code, "away"] as const),
  ...["P2024", "P2037"].map((code) => [code, "crowded"] as const),
  ...["P1000", "P1010"].map((code) => [code, "login"] as const),
  ["P1003", "missing"],
  ["P1011", "tls"],
  ["EPROTO", "tls"],
  ["P2034", "disturbed"],
]);

/** As Prisma's driver adapters name what has no code of Postgres; a raw query's error holds nothing else. */
const troublesOfKinds: ReadonlyMap<string, DatabaseTrouble> = new Map<string, DatabaseTrouble>([
  ["DatabaseNotReachable", "away"],
  ["ConnectionClosed", "away"],
  ["SocketTimeout", "away"],
  ["TransactionAlreadyClosed", "away"],
  ["TooManyConnections", "crowded"],
  ["TransactionWriteConflict", "disturbed"],
  ["TlsConnectionError", "tls"],
  ["AuthenticationFailed", "login"],
  ["DatabaseAccessDenied", "login"],
  ["DatabaseDoesNotExist", "missing"],
]);

function troubleOfCode({ code, kind, syscall }: Record<string, unknown>): DatabaseTrouble | undefined {
  if (typeof kind === "string" && troublesOfKinds.has(kind)) return troublesOfKinds.get(kind);
  if (typeof code !== "string") return undefined;
  // A Unix socket that is not there yet.
  if (code === "ENOENT" && syscall === "connect") return "away";
  return troublesOfCodes.get(code) ?? (isAboutTls(code) ? "tls" : undefined);
}

/** Node's and OpenSSL's names (tls documentation, "X509 certificate error codes"). */
function isAboutTls(code: string): boolean {
  return /^ERR_(TLS|SSL)_|^(CERT|CRL)_|SELF_SIGNED|^UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)_|^HOSTNAME_MISMATCH$|^INVALID_(CA|PURPOSE)$|^ERROR_IN_C/.test(
    code,
  );
}

// `pg` has no code for these.
const troublesOfMessages: readonly (readonly [RegExp, DatabaseTrouble])[] = [
  [/^(The server does not support SSL connections|There was an error establishing an SSL connection)/, "tls"],
  [/^Client network socket disconnected before secure TLS connection/, "away"],
  [/^(Connection terminated|timeout expired|Client (has encountered a connection error|was closed))/, "away"],
  [/^(Query read timeout|DatabaseNotReachable|Cannot use a pool after)/, "away"],
  // The pool waits for a free connection, or for Postgres.
  [/^timeout exceeded when trying to connect/, "away"],
  [/^SASL: /, "login"],
];

function troubleOfMessage(message: string): DatabaseTrouble | undefined {
  return troublesOfMessages.find(([pattern]) => pattern.test(message))?.[1];
}

/** A state has five characters and a digit. Node's EPIPE has no digit, and P2010 is a code of Prisma. */
function isSqlState(code: string): boolean {
  return /^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) && !/^P[0-9]{4}$/.test(code);
}

/** The error and what it was made of, outermost first: Prisma wraps what `pg` threw, some of it twice. */
function* withCauses(error: unknown): Generator<Record<string, unknown>> {
  for (let current = error, depth = 0; isObject(current) && depth < 6; depth += 1) {
    yield current;
    const meta = current.meta;
    current = isObject(meta) && isObject(meta.driverAdapterError) ? meta.driverAdapterError : current.cause;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
