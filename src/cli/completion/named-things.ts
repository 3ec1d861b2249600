/** What a word can name, so that the service can be asked for the names that there are. */
export type Kind = keyof typeof lists;

/** Where the names of a kind are listed, below the factory, and the member of each item that names it. */
export const lists = {
  factories: { path: undefined, member: "name" },
  secrets: { path: "secrets", member: "name" },
  "deleted-secrets": { path: "deleted-secrets", member: "name" },
  registries: { path: "registries", member: "id" },
  jobs: { path: "jobs", member: "name" },
  "job-ids": { path: "jobs", member: "id" },
  rules: { path: "trust-rules", member: "name" },
  authorities: { path: "device-authorities", member: "id" },
  denials: { path: "denied-devices", member: "id" },
  tokens: { path: "api-tokens", member: "id" },
  clients: { path: "oauth-clients", member: "id" },
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
