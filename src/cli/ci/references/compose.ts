import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { isMap, isNode, LineCounter, parseDocument } from "yaml";
import { isObject, type JsonObject, listAt, objectAt, textAt } from "../../client/json-value.js";
import { interpolate, type Variables } from "./interpolate.js";
import { type Mention, unsetVariable } from "./mention.js";

/** A build that a compose file asks for. */
export type ComposeBuild = { dockerfile: string; buildArgs: ReadonlyMap<string, string> };

export type ComposeResult = { mentions: Mention[]; builds: ComposeBuild[] };

export type ComposeInput = {
  /** Relative to `directory`, with slashes. */
  file: string;
  directory: string;
  /** Of the command's environment; a `.env` beside the file gives what is not set there. */
  variables: Variables;
  /** Those that are on; `undefined`: all. */
  profiles: readonly string[] | undefined;
};

const way = "Set it in the environment or in the .env beside the file.";

/**
 * The images that a compose file needs: of its services, those of files that it includes, and of services that they
 * extend. A service that is built here needs what its Dockerfile says. Source: compose specification.
 */
export async function readCompose(input: ComposeInput): Promise<ComposeResult> {
  const result: ComposeResult = { mentions: [], builds: [] };
  await readFileInto(result, input, new Set());
  return result;
}

type Opened = { value: JsonObject; lineAt(path: readonly string[]): number };

async function readFileInto(result: ComposeResult, input: ComposeInput, seen: Set<string>): Promise<void> {
  if (seen.has(input.file)) return;
  seen.add(input.file);
  const opened = await open(input);
  if ("unresolved" in opened) {
    result.mentions.push(opened);
    return;
  }
  const variables = await withDotEnv(input);
  for (const [index, included] of listAt(opened.value, "include").entries()) {
    const paths = pathsOf(included);
    for (const path of paths) {
      const file = interpolate(path, variables, "$");
      if ("missing" in file || /^[a-z]+:\/\/|\.git(?:#|$)/.test(file.text)) {
        const at = { file: input.file, line: opened.lineAt(["include", String(index)]), by: "include" };
        result.mentions.push({ ...at, unresolved: "It includes what is not in this folder, which is not looked at." });
      } else await readFileInto(result, { ...input, file: beside(input.file, file.text), variables }, seen);
    }
  }
  for (const name of Object.keys(objectAt(opened.value, "services"))) {
    await readService(result, { ...input, variables }, opened, name);
  }
}

async function readService(result: ComposeResult, input: ComposeInput, opened: Opened, name: string): Promise<void> {
  const service = await extended(input, opened, name, 0);
  const profiles = listAt(service, "profiles").filter((profile) => typeof profile === "string");
  if (input.profiles && profiles.length > 0 && !profiles.some((profile) => input.profiles?.includes(profile))) return;
  const { file } = input;
  const build = service.build;
  if (typeof build === "string" || isObject(build)) {
    readBuild(result, input, { build, line: opened.lineAt(["services", name, "build"]) });
    return;
  }
  const image = textAt(service, "image");
  if (image === undefined) return;
  const at = { file, line: opened.lineAt(["services", name, "image"]), by: "image" };
  result.mentions.push(mentionOf(at, image, input.variables));
}

function readBuild(
  result: ComposeResult,
  input: ComposeInput,
  found: { build: string | JsonObject; line: number },
): void {
  const build = typeof found.build === "string" ? { context: found.build } : found.build;
  for (const [name, context] of Object.entries(objectAt(build, "additional_contexts"))) {
    const image = /^docker-image:\/\/(.+)$/.exec(String(context))?.[1];
    const at = { file: input.file, line: found.line, by: `build context ${name}` };
    if (image !== undefined) result.mentions.push(mentionOf(at, image, input.variables));
  }
  const context = interpolate(textAt(build, "context") ?? ".", input.variables, "$");
  const dockerfile = interpolate(textAt(build, "dockerfile") ?? "Dockerfile", input.variables, "$");
  if ("missing" in context || "missing" in dockerfile || /^[a-z]+:\/\//.test(context.text)) return;
  const path = beside(input.file, posix.join(context.text, dockerfile.text));
  result.builds.push({ dockerfile: path, buildArgs: argsOf(build.args, input.variables) });
}

/** `args` is a mapping or a list of NAME=value; a name alone is taken from the environment. */
function argsOf(args: unknown, variables: Variables): Map<string, string> {
  const pairs: [string, unknown][] = Array.isArray(args)
    ? args.map((one) => {
        const [name = "", ...value] = String(one).split("=");
        return [name, value.length > 0 ? value.join("=") : undefined];
      })
    : Object.entries(isObject(args) ? args : {});
  const result = new Map<string, string>();
  for (const [name, written] of pairs) {
    const isAbsent = written === undefined || written === null;
    const value = isAbsent ? { text: variables(name) } : interpolate(String(written), variables, "$");
    if ("text" in value && value.text !== undefined) result.set(name, value.text);
  }
  return result;
}

const maxDepth = 10;

/** A service with what it has from those that it extends; its own members win. */
async function extended(input: ComposeInput, opened: Opened, name: string, depth: number): Promise<JsonObject> {
  const service = objectAt(objectAt(opened.value, "services"), name);
  const { extends: base } = service;
  const baseName = typeof base === "string" ? base : textAt(base, "service");
  if (baseName === undefined || depth >= maxDepth) return service;
  const baseFile = typeof base === "string" ? undefined : textAt(base, "file");
  const from = baseFile === undefined ? opened : await open({ ...input, file: beside(input.file, baseFile) });
  if ("unresolved" in from) return service;
  return { ...(await extended(input, from, baseName, depth + 1)), ...service };
}

async function open({ directory, file }: ComposeInput): Promise<Opened | Extract<Mention, { unresolved: string }>> {
  const at = { file, line: 1, by: "compose" };
  const text = await readFile(posix.join(directory, file), "utf8").catch(() => undefined);
  if (text === undefined) return { ...at, unresolved: "It is named by another compose file and cannot be read." };
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { merge: true, lineCounter: lines, logLevel: "silent" });
    const first = document.errors[0];
    if (first) return { ...at, line: first.linePos?.[0].line ?? 1, unresolved: "It is no valid YAML." };
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    const lineAt = (path: readonly string[]): number => {
      // Where a member comes from elsewhere, the nearest that holds it.
      for (let length = path.length; length > 0; length -= 1) {
        const parent = document.getIn(path.slice(0, length - 1), true);
        const key = isMap(parent) ? parent.items.find((pair) => String(pair.key) === path[length - 1])?.key : undefined;
        const node = isNode(key) ? key : document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
      }
      return 1;
    };
    return { value: isObject(value) ? value : {}, lineAt };
  } catch {
    // An alias bomb throws.
    return { ...at, unresolved: "It is no valid YAML." };
  }
}

function mentionOf(at: Pick<Mention, "file" | "line" | "by">, text: string, variables: Variables): Mention {
  const found = interpolate(text, variables, "$");
  if ("missing" in found) return { ...at, unresolved: unsetVariable(found.missing, way) };
  return found.text === "" ? { ...at, unresolved: "It is empty." } : { ...at, reference: found.text };
}

/** Compose specification, "include": a path, or an object with one or several. */
function pathsOf(included: unknown): string[] {
  if (typeof included === "string") return [included];
  const path = textAt(included, "path");
  return path === undefined ? listAt(included, "path").filter((one) => typeof one === "string") : [path];
}

const beside = (file: string, path: string): string => posix.normalize(posix.join(posix.dirname(file), path));

/** `.env` beside the file: NAME=value lines. What the environment says wins. */
async function withDotEnv({ directory, file, variables }: ComposeInput): Promise<Variables> {
  const path = posix.join(directory, posix.dirname(file), ".env");
  const text = await readFile(path, "utf8").catch(() => "");
  const values = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) values.set(name, /^(["'])(.*)\1$/.exec(value)?.[2] ?? value.replace(/\s+#.*$/, ""));
  }
  return (name) => variables(name) ?? values.get(name);
}
