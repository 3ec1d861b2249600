import { parseImageReference } from "../../../broker/references/image-reference.js";
import { parseDockerfile } from "./dockerfile-instructions.js";
import { type Source, type Stage, stagesOf } from "./dockerfile-stages.js";
import { type Mention, type Place, unsetVariable } from "./mention.js";
import { isPlatformArgument, predefinedArguments } from "./platforms.js";

/** What the name of a further build context stands for. */
export type NamedContext = { name: string; image: string } | "no-image";

export type DockerfileInput = {
  file: string;
  text: string;
  /** Arguments that the build is given. */
  buildArgs: ReadonlyMap<string, string>;
  /** Platforms that it is built for; none is the machine's own. */
  platforms: readonly string[];
  /** The stage that is built; without one it is the last. */
  target?: string | undefined;
  /** By name, in lower case. */
  contexts?: ReadonlyMap<string, NamedContext>;
};

const way = "Give it with --build-arg.";
const platformWay = "Say for which platforms with --platform.";

/**
 * The images that a build of this Dockerfile pulls: its frontend, and what the stages need that the target depends on, as
 * BuildKit finds them. Sources: Dockerfile reference; docs.docker.com, "Multi-stage builds"; moby/buildkit,
 * frontend/dockerfile/dockerfile2llb/convert.go.
 */
export function mentionsOfDockerfile(input: DockerfileInput): Mention[] {
  const { file, text, buildArgs, platforms } = input;
  const parsed = parseDockerfile(text);
  const frontend = buildArgs.get("BUILDKIT_SYNTAX") ?? parsed.syntax?.image;
  const syntax = frontend ? [{ file, line: parsed.syntax?.line ?? 1, by: "syntax", reference: frontend }] : [];
  const built = (platforms.length > 0 ? platforms : [undefined]).flatMap((platform) => {
    const target = input.target?.toLowerCase();
    const predefined = predefinedArguments(platform, (lastName) => target ?? lastName ?? "default");
    const first = stagesOf(parsed, buildArgs, predefined(undefined));
    const stages = stagesOf(parsed, buildArgs, predefined(first.at(-1)?.name));
    return mentionsFor(input, stages, platform);
  });
  return [...syntax, ...built];
}

type Build = {
  input: DockerfileInput;
  stages: readonly Stage[];
  /** The number of the stage that each stage is built on; absent for an image. */
  baseOf: ReadonlyMap<number, number>;
  platform: string | undefined;
};

function mentionsFor(input: DockerfileInput, stages: readonly Stage[], platform: string | undefined): Mention[] {
  const last = stages.length - 1;
  if (last < 0) return [{ file: input.file, line: 1, by: "FROM", unresolved: "It has no FROM." }];
  const target = input.target === undefined ? last : findStage(stages, input.target);
  if (target === undefined)
    return [{ file: input.file, line: 1, by: "--target", unresolved: `It has no stage "${input.target}".` }];
  const build = { input, stages, baseOf: basesOf(stages), platform };
  const mentions: Mention[] = [];
  const seen = new Set<number>();
  const waiting = [target];
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    const stage = stages[number];
    if (stage === undefined || seen.has(number)) continue;
    seen.add(number);
    waiting.push(...readStage(build, stage, number, mentions));
  }
  return mentions;
}

/** Adds what a stage pulls. @returns the stages that it needs */
function readStage(build: Build, stage: Stage, number: number, mentions: Mention[]): number[] {
  const { input, stages, baseOf } = build;
  const at = { file: input.file, line: stage.line, by: "FROM" };
  // A context with the name of a stage stands for all of it.
  const replacement = stage.name === undefined ? undefined : contextNamed(input, stage.name);
  if (replacement !== undefined) {
    addContext(build, at, replacement, stage.platform, mentions);
    return [];
  }
  const needed: number[] = [];
  const base = baseOf.get(number);
  if (base !== undefined) needed.push(base);
  else addImage(build, at, stage.base, stage.platform, mentions);
  const triggered = base === undefined ? [] : (stages[base]?.triggered ?? []);
  for (const source of [...triggered, ...stage.sources]) {
    const place = { file: input.file, line: source.line, by: source.by };
    const found = stageOfSource(stages, source);
    if (found === undefined) addImage(build, place, source.name, undefined, mentions);
    else if (typeof found === "number") needed.push(found);
    else mentions.push({ ...place, unresolved: found.wrong });
  }
  return needed;
}

/** `COPY --from` names a stage by its name or its number, and `RUN --mount` by its name. */
function stageOfSource(stages: readonly Stage[], { name, by }: Source): number | { wrong: string } | undefined {
  if (by === "COPY --from" && /^\d+$/.test(name)) {
    return Number(name) < stages.length ? Number(name) : { wrong: `It has no stage number ${name}.` };
  }
  return findStage(stages, name);
}

function findStage(stages: readonly Stage[], name: string): number | undefined {
  const number = stages.findLastIndex((stage) => stage.name === name.toLowerCase());
  return number === -1 ? undefined : number;
}

/** `FROM` sees the stages before it. */
function basesOf(stages: readonly Stage[]): Map<number, number> {
  const bases = new Map<number, number>();
  for (const [number, { base }] of stages.entries()) {
    const name = typeof base === "string" ? undefined : base.text;
    const found = name === undefined ? undefined : findStage(stages.slice(0, number), name);
    if (found !== undefined) bases.set(number, found);
  }
  return bases;
}

function addImage(
  build: Build,
  at: Place,
  base: Stage["base"],
  platform: string | undefined,
  mentions: Mention[],
): void {
  if (typeof base === "string" && at.by === "FROM") {
    mentions.push({ ...at, unresolved: base });
    return;
  }
  const { text, unset } = typeof base === "string" ? { text: base, unset: [] } : base;
  if (text === "scratch") return;
  const context = contextNamed(build.input, text);
  if (context !== undefined) {
    addContext(build, at, context, platform, mentions);
    return;
  }
  // A variable without a value is empty. That makes no image of its own of most references.
  const [missing] = unset;
  const isValid = typeof parseImageReference(text) !== "string";
  if (missing !== undefined && !(isValid && !isPlatformArgument(missing)))
    mentions.push({ ...at, unresolved: unsetVariable(missing, isPlatformArgument(missing) ? platformWay : way) });
  else if (text === "") mentions.push({ ...at, unresolved: "It names no image." });
  else if (at.by !== "FROM" && text.includes("$"))
    mentions.push({ ...at, unresolved: "Variables are not put in their places here: name a stage instead." });
  else mentions.push(pulled(at, text, platform ?? build.platform));
}

function addContext(
  build: Build,
  at: Place,
  context: NamedContext,
  platform: string | undefined,
  mentions: Mention[],
): void {
  if (context === "no-image" || context.image === "scratch") return;
  mentions.push({ ...pulled(at, context.image, platform ?? build.platform), context: context.name });
}

const pulled = (at: Place, reference: string, platform: string | undefined) => ({
  ...at,
  reference,
  ...(platform !== undefined && { platforms: [platform] }),
});

/** The context of that name: for an image, whatever way its name is written. */
function contextNamed({ contexts }: DockerfileInput, name: string): NamedContext | undefined {
  const direct = contexts?.get(name.toLowerCase());
  if (direct !== undefined || contexts === undefined) return direct;
  const full = fullName(name);
  return [...contexts].find(([key]) => full !== undefined && fullName(key) === full)?.[1];
}

function fullName(name: string): string | undefined {
  const image = parseImageReference(name);
  return typeof image === "string" ? undefined : JSON.stringify(image);
}
