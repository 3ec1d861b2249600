/** The `code` of a system or Postgres error (`ENOENT`, `28P01`), `undefined` when it has none. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
