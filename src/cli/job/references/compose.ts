import { parseImageReference } from "../../../broker/references/image-reference.js";
import { beside, isRemote, type Project, readProject } from "./compose-project.js";
import { itemsIn, memberOf, pairsIn, type Tree, textIn } from "./compose-tree.js";
import type { NamedContext } from "./dockerfile.js";
import { type ComposeService, type Mention, type Place, unsetVariable } from "./mention.js";
import type { Variables } from "./shell-lexer.js";

export type ComposeBuild = {
  at: Place;
  service: ComposeService;
  /** A path, or the text of an inline Dockerfile. */
  dockerfile: { path: string } | { text: string; file: string; line: number };
  buildArgs: ReadonlyMap<string, string>;
  target: string | undefined;
  platforms: readonly string[];
  contexts: ReadonlyMap<string, NamedContext>;
};

export type ComposeResult = {
  mentions: Mention[];
  builds: ComposeBuild[];
  /** All Dockerfiles of services, also those of inactive profiles. */
  dockerfiles: ReadonlySet<string>;
  /** Whether a service has a `build`, also in an overridden file. */
  hasBuilds: boolean;
  files: ReadonlySet<string>;
  /** Services of inactive profiles. */
  left: readonly string[];
};

export type ComposeInput = {
  directory: string;
  files: readonly string[];
  variables: Variables;
  /** The active ones; `undefined`: those of COMPOSE_PROFILES. */
  profiles: readonly string[] | undefined;
  /** For services without a platform; empty: the machine's. */
  platforms: readonly string[];
};

const hint = "Set it in the environment or in the .env next to the file.";

/**
 * The images that `docker compose build` and `docker compose up` pull, and the builds whose Dockerfiles name more.
 * Sources: compose specification, "Services", "Build", "Profiles"; docker/compose, pkg/compose (pull.go, build.go).
 */
export async function readCompose(input: ComposeInput): Promise<ComposeResult> {
  const project = await readProject(input);
  const services = [...project.services].filter(([, { kind, tag }]) => kind === "map" && tag !== "reset");
  const isOn = profileTest(input.profiles ?? listOf(project.variables("COMPOSE_PROFILES")));
  const active = services.filter(([, service]) => isOn(service));
  const built = withNeededBuilds(active, services);
  const names = new Set(built.flatMap((service) => namesOfBuild(project, service)));
  const mentions = [...project.mentions];
  const builds = built.flatMap((service) => readBuild(project, input, service, mentions));
  for (const [name, service] of active) {
    readImage([name, service], input, names, mentions);
    readVolumes(service, input, names, mentions);
    readOthers(service, mentions);
  }
  const dockerfiles = new Set(services.flatMap(([, service]) => dockerfileOf(project, service) ?? []));
  const left = services.filter(([, service]) => !isOn(service)).map(([name]) => name);
  const hasBuilds = services.some(([, service]) => service.kind === "map" && service.members.has("build"));
  return { mentions, builds, dockerfiles, hasBuilds, files: project.files, left };
}

const listOf = (text: string | undefined): string[] => text?.split(",").map((name) => name.trim()) ?? [];

function profileTest(profiles: readonly string[]): (service: Tree) => boolean {
  return (service) => {
    const own = itemsIn(service, "profiles").flatMap((item) => (item.kind === "text" ? [item.text] : []));
    return own.length === 0 || profiles.includes("*") || own.some((profile) => profiles.includes(profile));
  };
}

type Named = readonly [string, Tree];

/** Services that are built, and those that their builds use as contexts. */
function withNeededBuilds(active: readonly Named[], all: readonly Named[]): Named[] {
  const found = new Map<string, Named>();
  const waiting = [...active];
  for (let service = waiting.shift(); service !== undefined; service = waiting.shift()) {
    const build = memberOf(service[1], "build");
    if (build === undefined || found.has(service[0])) continue;
    found.set(service[0], service);
    for (const [, value] of pairsIn(build, "additional_contexts")) {
      const name = value?.kind === "text" ? /^service:(.+)$/.exec(value.text)?.[1] : undefined;
      waiting.push(...all.filter(([other]) => other === name));
    }
  }
  return [...found.values()];
}

const placeOf = ({ file, line }: Tree, by: string): Place => ({ file, line, by });

/** A reference in full form. */
function fullName(reference: string): string {
  const image = parseImageReference(reference);
  return typeof image === "string"
    ? reference
    : `${image.host}/${image.repository}:${image.tag ?? ""}@${image.digest ?? ""}`;
}

/**
 * The names of the image of a build, which other services then find locally. Without `image` it is `<project>-<service>` (compose specification, "Build"; docker/compose, pkg/api, GetImageNameOrDefault).
 */
function namesOfBuild(project: Project, [name, service]: Named): string[] {
  const image = textIn(service, "image") || `${project.name}-${name}`;
  const tags = itemsIn(memberOf(service, "build"), "tags").flatMap((tag) => (tag.kind === "text" ? [tag.text] : []));
  return [image, ...tags].map(fullName);
}

/** The platforms that a service is pulled for. */
function platformsOf(service: Tree, { platforms, variables }: ComposeInput): readonly string[] {
  const own = textIn(service, "platform");
  if (own !== undefined && own !== "") return [own];
  const usual = variables("DOCKER_DEFAULT_PLATFORM");
  return platforms.length > 0 || !usual ? platforms : [usual];
}

function readImage([name, service]: Named, input: ComposeInput, built: ReadonlySet<string>, mentions: Mention[]): void {
  const image = memberOf(service, "image");
  if (image?.kind !== "text" || memberOf(service, "provider") !== undefined) return;
  const policy = textIn(service, "pull_policy");
  if (policy === "never" || policy === "build") return;
  const isThere = memberOf(service, "build") !== undefined || built.has(fullName(image.text));
  if (isThere && policy !== "always") return;
  const mention = mentionOf(placeOf(image, "image"), image, platformsOf(service, input));
  mentions.push("reference" in mention ? { ...mention, services: [serviceOf(input, name)] } : mention);
}

const serviceOf = ({ files }: ComposeInput, name: string): ComposeService => ({ project: files[0] ?? "", name });

function readVolumes(service: Tree, input: ComposeInput, built: ReadonlySet<string>, mentions: Mention[]): void {
  for (const volume of itemsIn(service, "volumes")) {
    const source = memberOf(volume, "source") ?? memberOf(volume, "src");
    if (textIn(volume, "type") !== "image" || source?.kind !== "text" || built.has(fullName(source.text))) continue;
    mentions.push(mentionOf(placeOf(source, "volume"), source, platformsOf(service, input)));
  }
}

/** What a service fetches in other ways when it starts. */
function readOthers(service: Tree, mentions: Mention[]): void {
  const models = memberOf(service, "models");
  if (models !== undefined)
    mentions.push({
      ...placeOf(models, "models"),
      passedOver: "Docker Model Runner fetches the models: they were not checked.",
    });
  const provider = memberOf(service, "provider");
  if (provider !== undefined)
    mentions.push({
      ...placeOf(provider, "provider"),
      passedOver: `The provider ${textIn(provider, "type") ?? ""} starts the service: what it fetches was not checked.`,
    });
}

type Text = Extract<Tree, { kind: "text" }>;

function mentionOf(at: Place, { text, unset, wrong }: Text, platforms: readonly string[], reference = text): Mention {
  const [missing] = unset;
  const isValid = typeof parseImageReference(reference) !== "string";
  if (missing !== undefined && (wrong !== undefined || !isValid))
    return { ...at, unresolved: unsetVariable(missing, hint) };
  if (wrong !== undefined) return { ...at, unresolved: wrong };
  if (reference === "") return { ...at, unresolved: "The name of the image is empty." };
  return { ...at, reference, ...(platforms.length > 0 && { platforms }) };
}

function dockerfileOf({ projectDirectory }: Project, service: Tree): string | undefined {
  const build = memberOf(service, "build");
  const context = build?.kind === "text" ? build.text : (textIn(build, "context") ?? projectDirectory);
  if (build === undefined || isRemote(context) || textIn(build, "dockerfile_inline") !== undefined) return undefined;
  return beside(context, textIn(build, "dockerfile") ?? "Dockerfile");
}

function readBuild(project: Project, input: ComposeInput, [name, service]: Named, mentions: Mention[]): ComposeBuild[] {
  const build = memberOf(service, "build");
  if (build === undefined) return [];
  const at = placeOf(build, "build");
  const contexts = readContexts(build, mentions);
  for (const cache of itemsIn(build, "cache_from"))
    if (cache.kind === "text")
      mentions.push({ ...placeOf(cache, "cache_from"), passedOver: cacheSentence(cache.text) });
  const sbom = memberOf(build, "sbom");
  if (sbom?.kind === "text" && sbom.text !== "" && sbom.text !== "false")
    mentions.push({ ...placeOf(sbom, "sbom"), passedOver: "The image that makes the SBOM was not checked." });
  const inline = memberOf(build, "dockerfile_inline");
  const path = dockerfileOf(project, service);
  if (path === undefined && inline?.kind !== "text") {
    const context = textIn(build, "context") ?? "";
    mentions.push({
      ...at,
      passedOver: `The service is built from ${context}, which is outside this folder: its Dockerfile was not checked.`,
    });
    return [];
  }
  const unset = ["context", "dockerfile"]
    .map((name) => memberOf(build, name))
    .find((one) => one?.kind === "text" && one.unset.length > 0);
  if (unset?.kind === "text") {
    mentions.push({ ...at, unresolved: unsetVariable(unset.unset[0] ?? "", hint) });
    return [];
  }
  const dockerfile =
    inline?.kind === "text" ? { text: inline.text, file: inline.file, line: inline.line } : { path: path ?? "" };
  const target = textIn(build, "target");
  const buildArgs = argumentsOf(build, project.variables);
  return [
    {
      at,
      service: serviceOf(input, name),
      dockerfile,
      buildArgs,
      target: target === "" ? undefined : target,
      platforms: buildPlatforms(service, input),
      contexts,
    },
  ];
}

const cacheSentence = (cache: string): string => `The cache ${cache} was not checked: a build continues without it.`;

/** Source: docker/compose, pkg/compose/build.go, useDockerDefaultOrServicePlatform. */
function buildPlatforms(service: Tree, input: ComposeInput): readonly string[] {
  const own = textIn(service, "platform");
  if (own !== undefined && own !== "") return [own];
  const usual = input.variables("DOCKER_DEFAULT_PLATFORM");
  if (usual) return [usual];
  const named = itemsIn(memberOf(service, "build"), "platforms").flatMap((item) =>
    item.kind === "text" ? [item.text] : [],
  );
  return named.length > 0 ? named : input.platforms;
}

/** `args` is a mapping or a list of NAME=value; a name alone takes its value from the environment. */
function argumentsOf(build: Tree, variables: Variables): Map<string, string> {
  const result = new Map<string, string>();
  for (const [name, value] of pairsIn(build, "args")) {
    const text = value?.kind === "text" ? value.text : variables(name);
    if (text !== undefined) result.set(name, text);
  }
  return result;
}

function readContexts(build: Tree, mentions: Mention[]): Map<string, NamedContext> {
  const contexts = new Map<string, NamedContext>();
  for (const [name, value] of pairsIn(build, "additional_contexts")) {
    if (value?.kind !== "text") continue;
    const image = /^docker-image:\/\/(.*)$/.exec(value.text)?.[1];
    const at = placeOf(value, `build context ${name}`);
    const mention = image === undefined ? undefined : mentionOf(at, value, [], image);
    // The image is reported where the Dockerfile names it; only an unresolved one is reported here.
    if (mention !== undefined && "unresolved" in mention) mentions.push(mention);
    if (image === undefined && isRemote(value.text) && !value.text.startsWith("oci-layout://"))
      mentions.push({ ...at, passedOver: `The context ${value.text} is outside this folder and was not checked.` });
    contexts.set(name.toLowerCase(), image === undefined ? "no-image" : { name, image });
  }
  return contexts;
}
