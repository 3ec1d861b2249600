import { type Invalid, Problem } from "../core/problem.js";
import type { SecretWarning } from "./value-warnings.js";

/** The list of registries in a job's `/secrets`. It is made anew for each job, so no secret can have its name. */
export const registriesFile = "container-registries";

/** Files of a job's `/secrets` that JobServ lays there or that foundriesio/ci-scripts gives a meaning (apps/, lmp/, helpers.sh). */
const named: readonly string[] = [
  "osftok",
  "triggered-by",
  "root.json",
  "targets.pub",
  "targets.sec",
  "docker_host_config.json",
  "git.http.extraheader",
  "ssh-known_hosts",
  "credentials_zip_b64",
  "credentials.zip",
  "deltas",
  "targets",
];
const shaped = /^(?:netrc-.*|ssh-.*\.key)$/;

/** @throws Problem `invalid-request` for a name that a job needs for something else */
export function refuseJobNames(names: readonly string[]): void {
  if (!names.includes(registriesFile)) return;
  throw new Problem(
    "invalid-request",
    `A secret cannot be called "${registriesFile}": that is the list of registries, which each job gets anew from the factory config. Choose another name.`,
  );
}

/** What to know of a secret that is flagged for delivery under a name with a meaning of its own. */
export function jobNameWarnings(name: string): SecretWarning[] {
  if (!named.includes(name) && !shaped.test(name)) return [];
  const message = `In a job the file "${name}" has a meaning of its own (foundriesio/ci-scripts reads it). Where a job has such a file already, this secret is not put in its place.`;
  return [{ code: "job-name", message }];
}

/** Refuses a list of writes that names one secret twice: which of the two would win is nobody's guess. */
export function refuseDuplicates(names: readonly string[], at: (index: number) => string): void {
  const seen = new Set<string>();
  const invalid: Invalid[] = [];
  for (const [index, name] of names.entries()) {
    if (seen.has(name)) invalid.push({ at: at(index), reason: `"${name}" is named twice in one batch` });
    seen.add(name);
  }
  if (invalid[0]) throw new Problem("invalid-request", `${invalid[0].at}: ${invalid[0].reason}`, { invalid });
}
