import { readFile } from "node:fs/promises";
import { basename, posix, resolve } from "node:path";
import { itemsIn, memberOf, mergeTrees, parseTrees, type Tree, textIn } from "./compose-tree.js";
import { parseDotEnv } from "./interpolate.js";
import type { Mention } from "./mention.js";
import type { Variables } from "./shell-lexer.js";

export type ProjectInput = {
  /** The searched folder; all paths are relative to it, with slashes. */
  directory: string;
  /** The compose files of the project, each merged over those before it. */
  files: readonly string[];
  variables: Variables;
};

export type Project = {
  services: ReadonlyMap<string, Tree>;
  /** Files that could not be read. */
  mentions: readonly Mention[];
  files: ReadonlySet<string>;
  variables: Variables;
  /** The folder that its paths are relative to. */
  projectDirectory: string;
  /** Part of the names of the images that it builds. */
  name: string;
};

type Reading = { directory: string; mentions: Mention[]; files: Set<string>; name?: string };

/** The folder that paths of a file are relative to, and its variables. */
type Scope = { workingDirectory: string; variables: Variables };

/**
 * Reads a compose project: its files, the files that they include, and the services that they extend.
 * Sources: compose specification; compose-spec/compose-go, loader (loader.go, include.go, extends.go).
 */
export async function readProject({ directory, files, variables }: ProjectInput): Promise<Project> {
  const reading: Reading = { directory, mentions: [], files: new Set() };
  const projectDirectory = posix.dirname(files[0] ?? ".");
  const own = await readDotEnv(directory, envFilesOf(projectDirectory, variables), variables);
  const services = await readFiles(reading, files, { workingDirectory: projectDirectory, variables: own }, []);
  const name =
    own("COMPOSE_PROJECT_NAME") || reading.name || projectNameOf(basename(resolve(directory, projectDirectory)));
  return { services, mentions: reading.mentions, files: reading.files, variables: own, projectDirectory, name };
}

/** Source: compose-spec/compose-go, loader/loader.go, NormalizeProjectName. */
const projectNameOf = (folder: string): string =>
  folder
    .toLowerCase()
    .replace(/[^-_a-z0-9]/g, "")
    .replace(/^[-_]+/, "");

/**
 * The `.env` files of a project: those of COMPOSE_ENV_FILES, else the one of its folder.
 * Source: docs.docker.com, "Pre-defined environment variables in Docker Compose".
 */
export function envFilesOf(folder: string, environment: Variables): string[] {
  const named = environment("COMPOSE_ENV_FILES");
  if (named) return named.split(",").map((file) => file.trim());
  return /^(?:1|t|true)$/i.test(environment("COMPOSE_DISABLE_ENV_FILE") ?? "") ? [] : [posix.join(folder, ".env")];
}

/** Variables of `.env` files; those that are set already win. */
export async function readDotEnv(
  directory: string,
  paths: readonly string[],
  variables: Variables,
): Promise<Variables> {
  let found = variables;
  const values = new Map<string, string>();
  for (const path of paths) {
    const text = await readFile(resolve(directory, path), "utf8").catch(() => "");
    const before = found;
    for (const [name, value] of parseDotEnv(text, before)) values.set(name, value);
    found = (name) => variables(name) ?? values.get(name);
  }
  return found;
}

async function readFiles(
  reading: Reading,
  files: readonly string[],
  scope: Scope,
  chain: readonly string[],
): Promise<Map<string, Tree>> {
  let services = new Map<string, Tree>();
  for (const file of files) {
    const tree = await openFile(reading, file, scope.variables);
    if (tree === undefined) continue;
    // The name of an included project does not count.
    const name = chain.length === 0 ? textIn(tree, "name") : undefined;
    if (name) reading.name = name;
    for (const included of itemsIn(tree, "include")) {
      const found = await readInclude(reading, included, scope, [...chain, ...files]);
      services = mergeServices(services, found);
    }
    services = mergeServices(services, await servicesOf(reading, tree, { ...scope, file }));
  }
  return services;
}

function mergeServices(base: ReadonlyMap<string, Tree>, over: ReadonlyMap<string, Tree>): Map<string, Tree> {
  const merged = new Map(base);
  for (const [name, service] of over) merged.set(name, mergeTrees(merged.get(name), service, ["services", name]));
  return merged;
}

/** The documents of a file, merged. */
async function openFile(reading: Reading, file: string, variables: Variables): Promise<Tree | undefined> {
  reading.files.add(file);
  const text = await readFile(resolve(reading.directory, file), "utf8").catch(() => undefined);
  const at = { file, line: 1, by: "compose" };
  if (text === undefined) {
    reading.mentions.push({ ...at, unresolved: "Another compose file names this file, and it cannot be read." });
    return undefined;
  }
  const trees = parseTrees(text, file, variables);
  if (Array.isArray(trees)) {
    const [first, ...others] = trees;
    return others.reduce<Tree | undefined>((base, over) => mergeTrees(base, over), first);
  }
  reading.mentions.push({ ...at, line: trees.invalidAt, unresolved: "This is not valid YAML." });
  return undefined;
}

export const isRemote = (path: string): boolean =>
  /^[a-z][a-z0-9+.-]*:\/\/|^git@|^github\.com\/|\.git(?:#|$)/i.test(path);

/** Compose specification, "include": a path, or an object with one or several, a project directory and env files. */
async function readInclude(
  reading: Reading,
  included: Tree,
  { workingDirectory, variables }: Scope,
  chain: readonly string[],
): Promise<Map<string, Tree>> {
  const paths = included.kind === "text" ? [included.text] : textsIn(included, "path");
  const { file, line } = included;
  const remote = paths.find(isRemote);
  if (remote !== undefined || paths.length === 0) {
    reading.mentions.push({
      ...{ file, line, by: "include" },
      passedOver: `It includes ${remote ?? "an unknown file"}, which is outside this folder and was not checked.`,
    });
    return new Map();
  }
  const files = paths.map((path) => beside(workingDirectory, path));
  const [first = ""] = files;
  // A file that is being read is part of the project already.
  if (chain.includes(first)) return new Map();
  const given = textIn(included, "project_directory");
  const inner = given === undefined ? posix.dirname(first) : beside(workingDirectory, given);
  const named = textsIn(included, "env_file").map((path) => beside(workingDirectory, path));
  const envFiles = named.length > 0 ? named : [posix.join(inner, ".env")];
  const scope = {
    workingDirectory: inner,
    variables: await readDotEnv(reading.directory, envFiles, variables),
  };
  return readFiles(reading, files, scope, [...chain, ...files]);
}

/** A member that is one text or a list of them. */
function textsIn(tree: Tree, name: string): string[] {
  const one = textIn(tree, name);
  if (one !== undefined) return [one];
  return itemsIn(tree, name).flatMap((item) => {
    const text = item.kind === "text" ? item.text : textIn(item, "path");
    return text === undefined ? [] : [text];
  });
}

type Opened = Scope & { file: string };

async function servicesOf(reading: Reading, tree: Tree, opened: Opened): Promise<Map<string, Tree>> {
  const services = memberOf(tree, "services");
  const found = new Map<string, Tree>();
  if (services?.kind !== "map") return found;
  for (const [name, service] of services.members) {
    // Kept as it is, so that the merge sees the `!reset`.
    const isRemoved = service.tag === "reset" || service.kind !== "map";
    found.set(name, isRemoved ? service : await extended(reading, tree, name, opened, []));
  }
  return found;
}

/** A service merged over those that it extends. */
async function extended(
  reading: Reading,
  tree: Tree,
  name: string,
  opened: Opened,
  chain: readonly string[],
): Promise<Tree> {
  const written = memberOf(memberOf(tree, "services"), name);
  const { file, workingDirectory, variables } = opened;
  if (written === undefined) {
    reading.mentions.push({ file, line: 1, by: "extends", unresolved: `The file has no service "${name}" to extend.` });
    return { file, line: 1, kind: "null" };
  }
  const service = withPaths(written, workingDirectory);
  const base = memberOf(service, "extends");
  const baseName = base?.kind === "text" ? base.text : textIn(base, "service");
  const key = `${file} ${name}`;
  if (base === undefined || baseName === undefined || chain.includes(key)) return service;
  const path = textIn(base, "file");
  if (path === undefined) return over(await extended(reading, tree, baseName, opened, [...chain, key]), service, name);
  if (isRemote(path)) {
    const at = { file: base.file, line: base.line, by: "extends" };
    reading.mentions.push({
      ...at,
      passedOver: `It extends ${path}, which is outside this folder and was not checked.`,
    });
    return service;
  }
  const baseFile = beside(workingDirectory, path);
  const other = await openFile(reading, baseFile, variables);
  if (other === undefined) return service;
  const inner = { file: baseFile, workingDirectory: posix.dirname(baseFile), variables };
  return over(await extended(reading, other, baseName, inner, [...chain, key]), service, name);
}

const over = (base: Tree, service: Tree, name: string): Tree => mergeTrees(base, service, ["services", name]);

/** With its build context relative to the searched folder. */
function withPaths(service: Tree, workingDirectory: string): Tree {
  const build = memberOf(service, "build");
  if (service.kind !== "map" || build === undefined) return service;
  const context = build.kind === "text" ? build : memberOf(build, "context");
  if (context?.kind !== "text" || isRemote(context.text)) return service;
  const placed: Tree = { ...context, text: beside(workingDirectory, context.text) };
  const members =
    build.kind === "map" ? new Map([...build.members, ["context", placed]] as const) : new Map([["context", placed]]);
  const { file, line, tag } = build;
  const placedBuild: Tree = { file, line, ...(tag && { tag }), kind: "map", members };
  return { ...service, members: new Map([...service.members, ["build", placedBuild]] as const) };
}

export const beside = (folder: string, path: string): string =>
  path.startsWith("/") ? path : posix.normalize(posix.join(folder, path)).replace(/(?<=.)\/$/, "");

// Source: compose-spec/compose-go, cli/options.go, DefaultFileNames and DefaultOverrideFileNames: the first that exists.
const names = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const overrideNames = [
  "compose.override.yml",
  "compose.override.yaml",
  "docker-compose.override.yml",
  "docker-compose.override.yaml",
];

/**
 * Groups compose files into projects, as `docker compose` without `-f` does in each folder: the files of COMPOSE_FILE, else
 * the one with the preferred name and its override.
 * @param found - all compose files
 * @returns the files of each project, top folders first; and the files of no project
 */
export async function composeProjects(
  directory: string,
  found: readonly string[],
  environment: Variables,
): Promise<{ projects: string[][]; unused: string[] }> {
  const folders = new Set([".", ...found.map((file) => posix.dirname(file))]);
  const projects: string[][] = [];
  for (const folder of [...folders].toSorted((a, b) => a.split("/").length - b.split("/").length)) {
    // COMPOSE_FILE of the environment is for the folder where the command runs.
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
