/**
 * Postgres' five-character code of an error (https://www.postgresql.org/docs/18/errcodes-appendix.html),
 * whether `pg` threw it or Prisma wrapped it; `undefined` when it is not one.
 */
export function sqlState(error: unknown): string | undefined {
  for (let current = error, depth = 0; isObject(current) && depth < 5; depth += 1) {
    if (typeof current.originalCode === "string") return current.originalCode;
    if (typeof current.code === "string" && /^[0-9A-Z]{5}$/.test(current.code) && !/^P[0-9]{4}$/.test(current.code)) {
      return current.code;
    }
    const meta = current.meta;
    current = isObject(meta) && isObject(meta.driverAdapterError) ? meta.driverAdapterError : current.cause;
  }
  return undefined;
}

const unavailableCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOTFOUND",
  "ETIMEDOUT",
  "P1001",
  "P1008",
  "P1017",
  "P1018",
  "P2024",
  "P2028",
  "P2037",
]);

/** As Prisma's driver adapters name what has no code of Postgres; a raw query's error holds nothing else. */
const unavailableKinds = new Set([
  "DatabaseNotReachable",
  "ConnectionClosed",
  "SocketTimeout",
  "TooManyConnections",
  "TransactionAlreadyClosed",
]);

/** True when the database could not be reached or had no room: the same request may succeed a moment later. */
export function isDatabaseUnavailable(error: unknown): boolean {
  const state = sqlState(error);
  // 08 connection, 40 ended for another transaction's sake, 53 out of resources, 57P shutting down or restarting,
  // 57014 the statement took too long
  if (state !== undefined) return /^(08|40|53|57P)/.test(state) || state === "57014" || state === "25P03";
  for (let current = error, depth = 0; isObject(current) && depth < 5; depth += 1) {
    if (typeof current.code === "string" && unavailableCodes.has(current.code)) return true;
    if (typeof current.kind === "string" && unavailableKinds.has(current.kind)) return true;
    if (current instanceof Error && isConnectionMessage(current.message)) return true;
    const meta = current.meta;
    current = isObject(meta) && isObject(meta.driverAdapterError) ? meta.driverAdapterError : current.cause;
  }
  return false;
}

// `pg` has no code for these.
function isConnectionMessage(message: string): boolean {
  return /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Query read timeout|DatabaseNotReachable|Cannot use a pool after)/.test(
    message,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
