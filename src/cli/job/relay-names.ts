import { writeFile } from "node:fs/promises";
import { Command, Option } from "commander";
import { parseImageReference } from "../../broker/references/image-reference.js";
import { systemReason } from "../../core/error-code.js";
import { pathOfHost } from "../../core/normalise-host.js";
import type { ClientFlags } from "../client/client-settings.js";
import { CommandFailure, type ExitCode, exitCodes } from "../client/command-failure.js";
import { documentOf } from "../client/print-document.js";
import { type CommandContext, openClient } from "./command-context.js";
import { checkMentions, readTree, type TreeFlags, withTreeOptions } from "./references/check-command.js";
import type { Mention } from "./references/mention.js";
import { relayHostOf } from "./relay-login.js";

/** For which tools: all of them keep the names that Dockerfiles and compose files have. */
export const relayFormats = ["buildx", "compose", "registries-conf"] as const;

type RelayFormat = (typeof relayFormats)[number];

type RelayFlags = ClientFlags & TreeFlags & { for: string; format: RelayFormat; out?: string };

/** `ci relay`, without the options that all commands of a job have. */
export function relayCommand(): Command {
  return withTreeOptions(new Command("relay"))
    .description("send the private images of Dockerfiles and compose files through the relay, with the files untouched")
    .requiredOption("--for <folder>", "where the Dockerfiles and compose files are, and below")
    .addOption(
      new Option(
        "--format <form>",
        "flags of docker buildx build, a compose file to add with -f, or lines of registries.conf for podman, buildah, skopeo and CRI-O",
      )
        .choices(relayFormats)
        .makeOptionMandatory(),
    )
    .option("--out <file>", "write it there; without it, it is printed")
    .addHelpText(
      "after",
      `
Images that no registry entry is for, or no grant of this job, keep coming from where they are. What a form cannot
change is named, and the exit code is 1 then. Log in first: factory-secrets ci login --relay

Example:
  docker buildx build $(factory-secrets ci relay --for . --format buildx) .
  factory-secrets ci relay --for . --format compose --out relay.yaml
  docker compose -f compose.yaml -f relay.yaml up
  factory-secrets ci relay --for . --format registries-conf --out /etc/containers/registries.conf.d/relay.conf`,
    );
}

type Named = Extract<Mention, { reference: string }>;

/** An image that is pulled through the relay. */
type Relayed = {
  mention: Named;
  host: string;
  /** As the registry knows it. */
  repository: string;
  /** Its whole name at the relay. */
  name: string;
};

/** @returns 1 when an image could not be told, or stays where it is because the form cannot change it */
export async function runRelay(context: CommandContext, flags: RelayFlags): Promise<ExitCode> {
  const { terminal } = context;
  const client = openClient(context, flags);
  const { factory, url } = client.settings;
  const relay = `${relayHostOf(client.settings)}/${factory}`;
  const mentions = await readTree(context, flags.for, flags);
  const checked = await checkMentions(client, mentions);
  const images = checked.flatMap(({ mention, outcome }) =>
    "reference" in mention && outcome !== "not-covered" ? relayedBy(relay, mention) : [],
  );
  const { text, left } = await written(flags.format, images, new URL(url).protocol === "http:");
  for (const { file, line, by, reference } of left)
    terminal.say(`${file}:${line}: ${by} ${reference}: ${flags.format} cannot change this one. Name it at the relay.`);
  if (images.length === 0)
    terminal.say(`No image in ${flags.for} is private: there is nothing to send through the relay.`);
  if (flags.out === undefined) {
    if (text !== "") terminal.out(text);
  } else await write(flags.out, `${text}${text === "" ? "" : "\n"}`);
  const isWhole = left.length === 0 && mentions.every((mention) => !("unresolved" in mention));
  return isWhole ? exitCodes.done : exitCodes.failed;
}

function relayedBy(relay: string, mention: Named): Relayed[] {
  const image = parseImageReference(mention.reference);
  if (typeof image === "string") return [];
  const { host, repository, tag, digest } = image;
  const end = `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return [{ mention, host, repository, name: `${relay}/${pathOfHost(host)}/${repository}${end}` }];
}

type Written = { text: string; left: readonly Named[] };

async function written(format: RelayFormat, images: readonly Relayed[], isPlainHttp: boolean): Promise<Written> {
  switch (format) {
    case "buildx":
      return buildxFlags(images);
    case "compose":
      return composeFile(images);
    case "registries-conf":
      return { text: registriesConf(images, isPlainHttp), left: [] };
    default:
      return format satisfies never;
  }
}

/**
 * What a build context replaces: BuildKit looks for one by the name that stands in the Dockerfile, and pulls the frontend
 * before it reads that. Sources: docs.docker.com, "docker buildx build", `--build-context`; moby/buildkit,
 * frontend/dockerui/namedcontext.go.
 */
const isInBuild = ({ by }: Named): boolean => by === "FROM" || by === "COPY --from" || by === "RUN --mount";

const contextOf = ({ mention, name }: Relayed): [string, string] => [
  mention.context ?? mention.reference,
  `docker-image://${name}`,
];

/** One flag a line, without a blank in any of them, so that `$(...)` makes the arguments. */
function buildxFlags(images: readonly Relayed[]): Written {
  const inBuild = images.filter(({ mention }) => isInBuild(mention));
  const flags = inBuild.map((image) => `--build-context=${contextOf(image).join("=")}`);
  const left = images.filter(({ mention }) => !isInBuild(mention) && mention.by !== "image");
  return { text: [...new Set(flags)].join("\n"), left: left.map(({ mention }) => mention) };
}

type ComposeOverride = { image?: string; build?: { additional_contexts: Record<string, string> } };

/** Source: compose specification, "Merge" and "Build", `additional_contexts`. @throws CommandFailure for two projects */
async function composeFile(images: readonly Relayed[]): Promise<Written> {
  const services: Record<string, ComposeOverride> = {};
  const left: Named[] = [];
  const projects = new Set<string>();
  for (const image of images) {
    const { mention, name } = image;
    const isImage = mention.by === "image";
    if (mention.services === undefined || !(isImage || isInBuild(mention))) left.push(mention);
    else
      for (const service of mention.services) {
        projects.add(service.project);
        const before = services[service.name] ?? {};
        const contexts = { ...before.build?.additional_contexts, ...Object.fromEntries([contextOf(image)]) };
        const added = isImage ? { image: name } : { build: { additional_contexts: contexts } };
        services[service.name] = { ...before, ...added };
      }
  }
  if (projects.size > 1)
    throw new CommandFailure(
      exitCodes.usage,
      `There are several compose projects (${[...projects].join(", ")}), and one file changes one project. Give --for the folder of one.`,
    );
  return { text: projects.size === 0 ? "" : await documentOf("yaml", { services }), left };
}

/** Source: containers-registries.conf(5): the longest prefix that matches a name counts. */
function registriesConf(images: readonly Relayed[], isPlainHttp: boolean): string {
  const tables = images.map(({ host, repository, name }) => {
    const location = name.slice(0, name.lastIndexOf(`/${repository}`) + repository.length + 1);
    const lines = ["[[registry]]", `prefix = "${host}/${repository}"`, `location = "${location}"`];
    return [...lines, ...(isPlainHttp ? ["insecure = true"] : [])].join("\n");
  });
  return [...new Set(tables)].join("\n\n");
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    throw new CommandFailure(exitCodes.failed, `${path} cannot be written (${systemReason(error)}).`);
  });
}
