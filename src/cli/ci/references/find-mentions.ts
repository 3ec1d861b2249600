import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import type { ComposeBuild } from "./compose.js";
import { findFiles } from "./find-files.js";
import type { Variables } from "./interpolate.js";
import type { Mention } from "./mention.js";

export type Tree = {
  directory: string;
  buildArgs: ReadonlyMap<string, string>;
  platforms: readonly string[];
  variables: Variables;
  profiles: readonly string[] | undefined;
};

/**
 * Every place below a folder that names an image: in Dockerfiles, with the arguments that the command, a
 * `.docker_build_args` beside them (as foundriesio/ci-scripts has it) and compose files give; and in compose files.
 * @throws CommandFailure when the folder cannot be read
 */
export async function findMentions(tree: Tree): Promise<Mention[]> {
  // The parsers take longer to load than the rest of the command line, and most commands need none.
  const [{ mentionsOfDockerfile }, { readCompose }] = await Promise.all([
    import("./dockerfile.js"),
    import("./compose.js"),
  ]);
  const { directory, platforms, variables, profiles } = tree;
  const { dockerfiles, composeFiles } = await findFiles(directory);
  const mentions: Mention[] = [];
  const builds: ComposeBuild[] = [];
  for (const file of composeFiles) {
    const found = await readCompose({ file, directory, variables, profiles });
    mentions.push(...found.mentions);
    builds.push(...found.builds);
  }
  const files = new Set([...dockerfiles, ...builds.map(({ dockerfile }) => dockerfile)]);
  for (const file of files) {
    const text = await readFile(join(directory, file), "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const beside = await buildArgsBeside(directory, file);
    const given = builds.filter(({ dockerfile }) => dockerfile === file).map(({ buildArgs }) => buildArgs);
    for (const args of given.length > 0 ? given : [new Map<string, string>()]) {
      const buildArgs = new Map([...beside, ...args, ...tree.buildArgs]);
      mentions.push(...mentionsOfDockerfile({ file, text, buildArgs, platforms }));
    }
  }
  return unique(mentions).toSorted(byPlace);
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

function unique(mentions: readonly Mention[]): Mention[] {
  return [...new Map(mentions.map((mention) => [JSON.stringify(mention), mention])).values()];
}

function byPlace(a: Mention, b: Mention): number {
  return a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1;
}
