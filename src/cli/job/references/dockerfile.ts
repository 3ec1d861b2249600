import { arch } from "node:process";
import { parseImageReference } from "../../../broker/references/image-reference.js";
import { parseDockerfile, type Source, type Stage, stagesOf } from "./dockerfile-stages.js";
import { type Mention, type Place, unsetVariable } from "./mention.js";

/** What an additional build context is. */
export type NamedContext = { name: string; image: string } | "no-image";

export type DockerfileInput = {
  file: string;
  text: string;
  buildArgs: ReadonlyMap<string, string>;
  /** Platforms of the build; empty: the machine's. */
  platforms: readonly string[];
  /** The stage to build; the last by default. */
  target?: string | undefined;
  /** By name, in lower case. */
  contexts?: ReadonlyMap<string, NamedContext>;
};

const hint = "Pass it with --build-arg.";
const platformHint = "Name the platforms with --platform.";

/**
 * The images that a build of this Dockerfile pulls: its frontend, and those of the stages that the target depends on. Sources: Dockerfile reference; docs.docker.com, "Multi-stage builds"; moby/buildkit,
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
  /** The index of the stage that each stage is built on; absent for an image. */
  baseOf: ReadonlyMap<number, number>;
  platform: string | undefined;
};

function mentionsFor(input: DockerfileInput, stages: readonly Stage[], platform: string | undefined): Mention[] {
  const last = stages.length - 1;
  if (last < 0) return [{ file: input.file, line: 1, by: "FROM", unresolved: "The Dockerfile has no FROM." }];
  const target = input.target === undefined ? last : findStage(stages, input.target);
  if (target === undefined)
    return [
      { file: input.file, line: 1, by: "--target", unresolved: `The Dockerfile has no stage "${input.target}".` },
    ];
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

/** Adds the images that a stage pulls. @returns the stages that it needs */
function readStage(build: Build, stage: Stage, number: number, mentions: Mention[]): number[] {
  const { input, stages, baseOf } = build;
  const at = { file: input.file, line: stage.line, by: "FROM" };
  // A context with the name of a stage replaces it.
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
    return Number(name) < stages.length ? Number(name) : { wrong: `The Dockerfile has no stage number ${name}.` };
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
  // A variable without a value is empty, which makes most references invalid.
  const [missing] = unset;
  const isValid = typeof parseImageReference(text) !== "string";
  if (missing !== undefined && !(isValid && !isPlatformArgument(missing)))
    mentions.push({ ...at, unresolved: unsetVariable(missing, isPlatformArgument(missing) ? platformHint : hint) });
  else if (text === "") mentions.push({ ...at, unresolved: "No image is named." });
  else if (at.by !== "FROM" && text.includes("$"))
    mentions.push({ ...at, unresolved: "BuildKit does not replace variables here. Name a stage instead." });
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

/** The context of that name; the name of an image may be written in short or full form. */
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

/** Architectures by their names in Node. Source: Node.js documentation, process.arch; OCI image specification. */
const architectures: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm64: "arm64",
  arm: "arm/v7",
  ppc64: "ppc64le",
  s390x: "s390x",
  riscv64: "riscv64",
};

const buildPlatform = `linux/${architectures[arch] ?? arch}`;

/**
 * Arguments that `FROM` sees without a declaration.
 * Source: Dockerfile reference, "Automatic platform ARGs in the global scope"; moby/buildkit, dockerfile2llb/platform.go.
 * @param platform - of the build; without it the TARGET arguments have no value
 */
export function predefinedArguments(
  platform: string | undefined,
  targetOf: (lastName: string | undefined) => string,
): (lastName: string | undefined) => Map<string, string> {
  return (lastName) =>
    new Map([
      ...argumentsOf("BUILD", buildPlatform),
      ...(platform === undefined ? [] : argumentsOf("TARGET", platform)),
      ["TARGETSTAGE", targetOf(lastName)],
    ]);
}

function argumentsOf(side: "BUILD" | "TARGET", given: string): [string, string][] {
  const platform = normalisedPlatform(given);
  const [os = "", architecture = "", variant = ""] = platform.split("/");
  return [
    [`${side}PLATFORM`, platform],
    [`${side}OS`, os],
    [`${side}OSVERSION`, ""],
    [`${side}ARCH`, architecture],
    [`${side}VARIANT`, variant],
  ];
}

/** Source: containerd/platforms, database.go, normalizeArch: one form for each platform. */
export function normalisedPlatform(platform: string): string {
  const [os = "", architecture = "", variant = ""] = platform.toLowerCase().split("/");
  const [name, kind] = normalisedArchitecture(architecture, variant);
  return [os === "macos" ? "darwin" : os, name, ...(kind === "" ? [] : [kind])].join("/");
}

function normalisedArchitecture(architecture: string, variant: string): [string, string] {
  switch (architecture) {
    case "x86_64":
    case "x86-64":
    case "amd64":
      return ["amd64", variant === "v1" ? "" : variant];
    case "i386":
      return ["386", ""];
    case "aarch64":
    case "arm64":
      return ["arm64", variant === "8" || variant === "v8" ? "" : variant];
    case "armhf":
      return ["arm", "v7"];
    case "armel":
      return ["arm", "v6"];
    case "arm":
      return ["arm", variant === "" || variant === "7" ? "v7" : variant.replace(/^(?=\d)/, "v")];
    default:
      return [architecture, variant];
  }
}

export const isPlatformArgument = (name: string): boolean =>
  /^TARGET(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)$/.test(name);
