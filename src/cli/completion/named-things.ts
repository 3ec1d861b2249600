/** What a word can name, so that the service can be asked for the names that there are. */
export type Kind = keyof typeof lists;

/** The operation that lists the things of a kind, and the member of each item that names it. */
export const lists = {
  factories: { operation: "listFactories", member: "name" },
  secrets: { operation: "listSecrets", member: "name" },
  "deleted-secrets": { operation: "listDeletedSecrets", member: "name" },
  registries: { operation: "listRegistries", member: "id" },
  jobs: { operation: "listJobs", member: "name" },
  "job-ids": { operation: "listJobs", member: "id" },
  rules: { operation: "listTrustRules", member: "name" },
  authorities: { operation: "listDeviceAuthorities", member: "id" },
  denials: { operation: "listDeniedDevices", member: "id" },
  tokens: { operation: "listApiTokens", member: "id" },
  clients: { operation: "listOAuthClients", member: "id" },
  // The API's own are known here.
  operations: undefined,
} as const;

/** What the first operand of a command names, by the path of the command. */
const operands: Readonly<Record<string, Kind>> = {
  "/secrets/show": "secrets",
  "/secrets/set": "secrets",
  "/secrets/rm": "secrets",
  "/secrets/verify": "secrets",
  "/secrets/doctor": "secrets",
  "/secrets/history": "secrets",
  "/secrets/promote": "secrets",
  "/secrets/rollback": "secrets",
  "/secrets/restore": "secrets",
  "/secrets/destroy": "secrets",
  "/secrets/usage": "secrets",
  "/secrets/undelete": "deleted-secrets",
  "/secrets/purge": "deleted-secrets",
  "/registries/show": "registries",
  "/registries/set": "registries",
  "/registries/rm": "registries",
  "/jobs/show": "job-ids",
  "/jobs/end": "jobs",
  "/trust-rules/show": "rules",
  "/trust-rules/rm": "rules",
  "/devices/authorities/show": "authorities",
  "/devices/authorities/set-policy": "authorities",
  "/devices/authorities/set-crl": "authorities",
  "/devices/authorities/rm": "authorities",
  "/devices/allow": "denials",
  "/api-tokens/rm": "tokens",
  "/oauth-clients/rm": "clients",
  "/oauth-clients/show": "clients",
  "/oauth-clients/add-secret": "clients",
  "/oauth-clients/rm-secret": "clients",
  "/factories/rm": "factories",
  "/api": "operations",
};

/** What the value of an option names, whichever command has it. */
const values: Readonly<Record<string, Kind>> = {
  "--factory": "factories",
  "--secret": "secrets",
  "--registry": "registries",
  "--authority": "authorities",
};

export const operandKind = (path: string): Kind | undefined =>
  Object.hasOwn(operands, path) ? operands[path] : undefined;

export const valueKind = (option: string): Kind | undefined =>
  Object.hasOwn(values, option) ? values[option] : undefined;
