/** Tables that no backup holds, and why. Every other table of the service is in every backup. */
export const leftOut: ReadonlyMap<string, string> = new Map([
  ["_prisma_migrations", "a restore makes the schema by the migrations, which record themselves"],
  ["audit_sealer", "it counts transactions of this Postgres, which mean nothing in another"],
  ["rate_limits", "counts that are over in minutes"],
  ["replicas", "the processes that run on this database now"],
  ["withdrawals", "what replicas of this database are told; what was withdrawn is in the rows of the credentials"],
]);
