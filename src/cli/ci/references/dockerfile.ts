import { type Copy, type Dockerfile, DockerfileParser, type From, Run } from "dockerfile-ast";
import { interpolate, type Variables } from "./interpolate.js";
import { type Mention, unsetVariable } from "./mention.js";

export type DockerfileInput = {
  file: string;
  text: string;
  /** Arguments that the build is given. */
  buildArgs: ReadonlyMap<string, string>;
  /** Platforms that it is built for: where the file names its base by them, there is one base for each. */
  platforms: readonly string[];
};

const way = "Give it with --build-arg.";
const platformWay = "Say for which platforms with --platform.";

/**
 * The images that a Dockerfile needs: of `FROM`, `COPY --from`, `RUN --mount=from=` and the `syntax=` line. Stages of the
 * file itself and `scratch` are none. Source: Dockerfile reference.
 */
export function mentionsOfDockerfile(input: DockerfileInput): Mention[] {
  const dockerfile = DockerfileParser.parse(input.text);
  const platforms = input.platforms.length > 0 ? input.platforms : [undefined];
  const mentions = platforms.flatMap((platform) => mentionsFor(input, dockerfile, platform));
  const seen = new Set<string>();
  return mentions.filter((mention) => {
    const key = JSON.stringify(mention);
    return seen.has(key) ? false : seen.add(key);
  });
}

type Place = Pick<Mention, "file" | "line" | "by">;

function mentionsFor(input: DockerfileInput, dockerfile: Dockerfile, platform: string | undefined): Mention[] {
  const variables = globalVariables(dockerfile, input.buildArgs, platform);
  const place = (by: string, line: number): Place => ({ file: input.file, line: line + 1, by });
  const stages = new Set<string>();
  const mentions: Mention[] = [];
  const add = (at: Place, text: string | null | undefined, isStage: (name: string) => boolean): void => {
    if (text === null || text === undefined) return;
    const mention = mentionOf(at, text, variables);
    if (!("reference" in mention) || !(mention.reference === "scratch" || isStage(mention.reference)))
      mentions.push(mention);
  };
  for (const directive of dockerfile.getDirectives()) {
    if (directive.getName().toLowerCase() === "syntax")
      add(place("syntax", directive.getRange().start.line), directive.getValue(), () => false);
  }
  for (const from of dockerfile.getFROMs()) {
    add(place("FROM", lineOf(from)), from.getImage(), (name) => stages.has(name.toLowerCase()));
    const stage = from.getBuildStage();
    if (stage !== null) stages.add(stage.toLowerCase());
  }
  // A number is that of a stage.
  const isStage = (name: string): boolean => /^\d+$/.test(name) || stages.has(name.toLowerCase());
  for (const copy of dockerfile.getCOPYs())
    add(place("COPY --from", lineOf(copy)), copy.getFromFlag()?.getValue(), isStage);
  for (const run of dockerfile.getInstructions()) {
    const mounts = run instanceof Run ? run.getFlags().filter((flag) => flag.getName() === "mount") : [];
    for (const mount of mounts)
      add(place("RUN --mount", run.getRange().start.line), mount.getOption("from")?.getValue(), isStage);
  }
  return mentions;
}

const lineOf = (instruction: From | Copy): number => instruction.getRange().start.line;

function mentionOf(at: Place, text: string, variables: Variables): Mention {
  const found = interpolate(unquoted(text), variables, "\\");
  if ("text" in found && found.text !== "") return { ...at, reference: found.text };
  const name = "missing" in found ? found.missing : text;
  return { ...at, unresolved: unsetVariable(name, isOfPlatform(name) ? platformWay : way) };
}

/** What `FROM` sees: arguments before the first one, with what the build is given, and those of the platform. */
function globalVariables(
  dockerfile: Dockerfile,
  buildArgs: ReadonlyMap<string, string>,
  platform: string | undefined,
): Variables {
  const values = new Map<string, string>(platform === undefined ? [] : platformArgs(platform));
  for (const arg of dockerfile.getInitialARGs()) {
    const property = arg.getProperty();
    if (!property) continue;
    const name = property.getName();
    const given = buildArgs.get(name);
    const written = property.getValue();
    if (given !== undefined) values.set(name, given);
    else if (written !== null) {
      const value = interpolate(unquoted(written), (other) => values.get(other) ?? "", "\\");
      if ("text" in value) values.set(name, value.text);
    }
  }
  return (name) => values.get(name);
}

/** Dockerfile reference, "Automatic platform ARGs in the global scope"; the builder is taken to be of the target's kind. */
function platformArgs(platform: string): [string, string][] {
  const [os = "", architecture = "", variant = ""] = platform.split("/");
  return ["TARGET", "BUILD"].flatMap((side): [string, string][] => [
    [`${side}PLATFORM`, platform],
    [`${side}OS`, os],
    [`${side}ARCH`, architecture],
    [`${side}VARIANT`, variant],
  ]);
}

const isOfPlatform = (name: string): boolean => /^(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)$/.test(name);

const unquoted = (text: string): string => /^(["'])(.*)\1$/s.exec(text)?.[2] ?? text;
