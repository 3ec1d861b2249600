import { posix } from "node:path";
import { beside, envFilesOf, readDotEnv } from "./compose-project.js";
import type { Variables } from "./shell-lexer.js";

// Source: compose-spec/compose-go, cli/options.go, DefaultFileNames and DefaultOverrideFileNames: the first that is there.
const names = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const overrideNames = [
  "compose.override.yml",
  "compose.override.yaml",
  "docker-compose.override.yml",
  "docker-compose.override.yaml",
];

/**
 * Which compose files make a project, as `docker compose` without `-f` takes them in each folder: those of COMPOSE_FILE,
 * else the one with the preferred name and the override beside it.
 * @param found - the compose files, by their names
 * @returns the files of each project, those nearest to the top first; and those that are in none
 */
export async function composeProjects(
  directory: string,
  found: readonly string[],
  environment: Variables,
): Promise<{ projects: string[][]; unused: string[] }> {
  const folders = new Set([".", ...found.map((file) => posix.dirname(file))]);
  const projects: string[][] = [];
  for (const folder of [...folders].toSorted((a, b) => a.split("/").length - b.split("/").length)) {
    // The environment's COMPOSE_FILE is for the folder where the command runs.
    const outer: Variables = (name) => (folder !== "." && name.startsWith("COMPOSE_") ? undefined : environment(name));
    const variables = await readDotEnv(directory, envFilesOf(folder, outer), outer);
    const files = filesNamed(variables, folder) ?? usualFiles(found, folder);
    if (files.length > 0) projects.push(files);
  }
  const used = new Set(projects.flat());
  return { projects, unused: found.filter((file) => !used.has(file)) };
}

function filesNamed(variables: Variables, folder: string): string[] | undefined {
  const named = variables("COMPOSE_FILE");
  if (named === undefined || named === "") return undefined;
  return named.split(variables("COMPOSE_PATH_SEPARATOR") || ":").map((file) => beside(folder, file));
}

function usualFiles(found: readonly string[], folder: string): string[] {
  const firstOf = (wanted: readonly string[]): string[] => {
    const paths = wanted.map((name) => posix.join(folder, name));
    return paths.filter((path) => found.includes(path)).slice(0, 1);
  };
  const base = firstOf(names);
  return base.length === 0 ? [] : [...base, ...firstOf(overrideNames)];
}
