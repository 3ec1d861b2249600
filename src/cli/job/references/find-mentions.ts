import { readdir, readFile } from "node:fs/promises";
import { join, posix, resolve } from "node:path";
import { systemReason } from "../../../core/error-code.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import type { ComposeBuild, ComposeResult } from "./compose.js";
import type { Mention } from "./mention.js";
import type { Variables } from "./shell-lexer.js";

export type Tree = {
  directory: string;
  buildArgs: ReadonlyMap<string, string>;
  /** The platforms of builds and services that name none. */
  platforms: readonly string[];
  variables: Variables;
  profiles: readonly string[] | undefined;
  /** The stage to build of Dockerfiles that no compose file builds. */
  target?: string | undefined;
};

export type Found = {
  mentions: readonly Mention[];
  /** Files and services that were not read, as sentences. */
  notes: readonly string[];
};

/**
 * Finds every image that builds and runs below a folder pull: those of compose projects and the Dockerfiles that they
 * build, and those of other Dockerfiles. A Dockerfile gets the arguments of the command and of a `.docker_build_args`
 * in its folder (as in foundriesio/ci-scripts).
 * @throws CommandFailure when the folder cannot be read
 */
export async function findMentions(tree: Tree): Promise<Found> {
  // The parsers take longer to load than the rest of the command line, and most commands need none.
  const [{ mentionsOfDockerfile }, { readCompose }, { composeProjects }] = await Promise.all([
    import("./dockerfile.js"),
    import("./compose.js"),
    import("./compose-project.js"),
  ]);
  const { directory, platforms, variables, profiles } = tree;
  const found = await findFiles(directory);
  const { projects, unused } = await composeProjects(directory, found.composeFiles, variables);
  const notes = unused.map((file) => `${file} was not read: docker compose reads it only when it is named with -f.`);
  const read: ReadProject[] = [];
  for (const files of projects) {
    // A file that another project includes or extends belongs to that project.
    if (read.some(({ result }) => result.files.has(files[0] ?? ""))) continue;
    read.push({ files, result: await readCompose({ directory, files, variables, profiles, platforms }) });
  }
  const mentions = read.flatMap(({ result }) => result.mentions);
  for (const { files, result } of read)
    if (result.left.length > 0)
      notes.push(
        `${files[0]}: not read: ${result.left.join(", ")}. To read these services, name their profiles with --profile.`,
      );
  const readOne = async (path: string, build: Partial<ComposeBuild>): Promise<Mention[] | undefined> => {
    const opened = await openDockerfile(directory, path);
    if (opened === undefined) return undefined;
    const { file, text } = opened;
    const beside = await buildArgsBeside(directory, file);
    const buildArgs = new Map([...beside, ...(build.buildArgs ?? []), ...tree.buildArgs]);
    const { target, contexts } = build;
    return mentionsOfDockerfile({
      ...{ file, text, buildArgs, target, platforms: build.platforms ?? platforms },
      ...(contexts && { contexts }),
    });
  };
  for (const build of read.flatMap(({ result }) => result.builds)) {
    const { dockerfile, at } = build;
    if ("text" in dockerfile) {
      const buildArgs = new Map([...build.buildArgs, ...tree.buildArgs]);
      const inner = mentionsOfDockerfile({ ...build, buildArgs, file: dockerfile.file, text: dockerfile.text });
      // The text begins on the line after its key.
      const moved = inner.map((mention) => ({ ...mention, line: mention.line + dockerfile.line }));
      mentions.push(...moved.map((mention) => ofService(mention, build)));
      continue;
    }
    const unresolved = `Its Dockerfile ${dockerfile.path} cannot be read.`;
    const read = await readOne(dockerfile.path, build);
    mentions.push(...(read?.map((mention) => ofService(mention, build)) ?? [{ ...at, unresolved }]));
  }
  for (const file of dockerfilesAlone(found.dockerfiles, read, notes))
    mentions.push(...((await readOne(file, { target: tree.target })) ?? [unreadable(file)]));
  return { mentions: joined(mentions).toSorted(byPlace), notes };
}

const ofService = (mention: Mention, { service }: ComposeBuild): Mention =>
  "reference" in mention ? { ...mention, services: [service] } : mention;

type ReadProject = { files: readonly string[]; result: ComposeResult };

/** The Dockerfiles that no project builds. The notes say why others are not read. */
function dockerfilesAlone(found: readonly string[], projects: readonly ReadProject[], notes: string[]): string[] {
  return found.filter((file) => {
    const usual = usualName(file);
    if (projects.some(({ result }) => result.dockerfiles.has(usual))) return false;
    const isHidden = usual !== file && found.includes(usual);
    if (isHidden) notes.push(`${file} was not read: docker reads ${usual}, which is in the same folder.`);
    else if (isOfProject(file, projects)) notes.push(`${file} was not read: no service is built from it.`);
    else return true;
    return false;
  });
}

/** `docker build` reads `dockerfile` when there is no `Dockerfile`. Source: moby/buildkit, frontend/dockerui/config.go. */
const usualName = (file: string): string => file.replace(/(?<=^|\/)dockerfile$/, "Dockerfile");

async function openDockerfile(directory: string, path: string): Promise<{ file: string; text: string } | undefined> {
  for (const file of [path, path.replace(/(?<=^|\/)Dockerfile$/, "dockerfile")]) {
    const text = await readFile(resolve(directory, file), "utf8").catch(() => undefined);
    if (text !== undefined) return { file, text };
  }
  return undefined;
}

const unreadable = (file: string): Mention => ({ file, line: 1, by: "FROM", unresolved: "The file cannot be read." });

/** A project with builds decides which Dockerfiles below it are built. */
function isOfProject(file: string, projects: readonly ReadProject[]): boolean {
  return projects.some(({ files, result }) => {
    const folder = posix.dirname(files[0] ?? "");
    return result.hasBuilds && (folder === "." || file.startsWith(`${folder}/`));
  });
}

async function buildArgsBeside(directory: string, file: string): Promise<[string, string][]> {
  const path = join(directory, posix.dirname(file), ".docker_build_args");
  const text = await readFile(path, "utf8").catch(() => "");
  const lines = text.split("\n").map((line) => line.trim());
  return lines.flatMap((line): [string, string][] => {
    const equals = line.indexOf("=");
    return line.startsWith("#") || equals < 1 ? [] : [[line.slice(0, equals), line.slice(equals + 1)]];
  });
}

/** Each place and image once, with all its platforms and services. */
function joined(mentions: readonly Mention[]): Mention[] {
  const found = new Map<string, Mention>();
  for (const mention of mentions) {
    const key = JSON.stringify({ ...mention, platforms: undefined, services: undefined });
    const before = found.get(key);
    if (before === undefined || !("reference" in before) || !("reference" in mention)) found.set(key, mention);
    else {
      const platforms = [...new Set([...(before.platforms ?? []), ...(mention.platforms ?? [])])];
      const services = [...(before.services ?? []), ...(mention.services ?? [])];
      found.set(key, {
        ...mention,
        ...(platforms.length > 0 && { platforms }),
        ...(services.length > 0 && { services }),
      });
    }
  }
  return [...found.values()];
}

function byPlace(a: Mention, b: Mention): number {
  return a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1;
}

const dockerfileName =
  /^(?:dockerfile$|(?:Dockerfile|Containerfile)(?:\.(?!dockerignore$|containerignore$)[^.].*)?$)|\.(?:D|d)ockerfile$/s;
const composeName = /^(?:docker-)?compose(?:\.[\w.-]+)?\.ya?ml$/;
const skippedFolders: ReadonlySet<string> = new Set([".git", "node_modules", ".venv", "__pycache__"]);
const maxFolders = 20_000;

export type FoundFiles = { dockerfiles: string[]; composeFiles: string[] };

/**
 * Finds Dockerfiles and compose files by their names in a folder and its subfolders. Links are not followed.
 * @returns paths relative to the folder, with slashes, in order
 * @throws CommandFailure when the folder cannot be read
 */
export async function findFiles(directory: string): Promise<FoundFiles> {
  const found: FoundFiles = { dockerfiles: [], composeFiles: [] };
  const folders = [""];
  let looked = 0;
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    looked += 1;
    if (looked > maxFolders)
      throw new CommandFailure(
        exitCodes.failed,
        `${directory} has more than ${maxFolders} folders. Name a smaller folder.`,
      );
    const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch((error: unknown) => {
      throw new CommandFailure(exitCodes.failed, `${join(directory, folder)} cannot be read (${systemReason(error)}).`);
    });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() && !skippedFolders.has(entry.name)) folders.push(path);
      if (!entry.isFile()) continue;
      if (dockerfileName.test(entry.name)) found.dockerfiles.push(path);
      if (composeName.test(entry.name)) found.composeFiles.push(path);
    }
  }
  return found;
}
