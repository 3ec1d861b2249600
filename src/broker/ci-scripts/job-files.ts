import { dockerHubHost } from "../../core/normalise-host.js";
import type { Failure } from "../../core/problem.js";
import { registriesFile } from "../../secrets/refuse-names.js";
import type { MintedToken } from "../provider.js";
import type { DeliveredSecret } from "./deliver-secrets.js";

/** A file of a job's `/secrets`. */
export type JobFile = { name: string; contentBase64: string };

type Password = Extract<MintedToken, { kind: "password" }>;

/**
 * Tells tokens that ci-scripts can be handed from those that it cannot: it splits the file at its colon, strips it, and
 * gives the rest to `docker login` (foundriesio/ci-scripts, apps/docker_registry_client.py).
 */
export function fitForJobs(tokens: readonly MintedToken[]): { fit: Password[]; failures: Failure[] } {
  const fit: Password[] = [];
  const failures: Failure[] = [];
  for (const token of tokens) {
    const message = token.kind === "bearer" ? bearerReason : wrongWith(token);
    if (token.kind === "password" && message === undefined) fit.push(token);
    else failures.push({ registry: token.registry, code: "not-representable", message: message ?? bearerReason });
  }
  return { fit, failures };
}

/**
 * The files of a job's `/secrets`: `container-registries`, in which each registry is `generic`; a `user:token` file for
 * each, under a name that says nothing of the secret behind it; and the delivered secrets.
 */
export function jobFiles(tokens: readonly Password[], delivered: readonly DeliveredSecret[]): JobFile[] {
  const taken = new Set(delivered.map(({ name }) => name));
  const names = freeNames(taken);
  const named = tokens.map((token) => ({ token, name: names.next().value }));
  const registries = named.map(({ token, name }) => ({
    type: "generic",
    url: token.registry === dockerHubHost ? "docker.io" : token.registry,
    generic_secret_name: name,
  }));
  return [
    textFile(registriesFile, JSON.stringify(registries, undefined, 2)),
    ...named.map(({ token, name }) => textFile(name, `${token.username}:${token.password}`)),
    // A secret may have been stored under the name of the list before that was refused.
    ...delivered.filter(({ name }) => name !== registriesFile),
  ];
}

const bearerReason =
  "It gives a bearer, which is no password and which ci-scripts cannot carry. Give the azure entry its azure_tenant_id, or ask the operator for pass-through.";

function wrongWith({ username, password }: Password): string | undefined {
  if (username.includes(":") || password.includes(":"))
    return "Its user or password holds a colon, at which ci-scripts would cut it.";
  if (/\s/.test(`${username}${password}`))
    return "Its user or password holds a blank or a line end, which ci-scripts would not keep.";
  return undefined;
}

function* freeNames(taken: ReadonlySet<string>): Generator<string, never> {
  for (let number = 1; ; number += 1) {
    const name = `registry-${number}`;
    if (!taken.has(name)) yield name;
  }
}

function textFile(name: string, text: string): JobFile {
  return { name, contentBase64: Buffer.from(text, "utf8").toString("base64") };
}
