import type { Instruction, ParsedDockerfile } from "./dockerfile-instructions.js";
import { type Lexed, lex, type Variables } from "./shell-lexer.js";

/** Something that a stage takes files from, other than the stage that it is built on. */
export type Source = { name: string; by: "COPY --from" | "RUN --mount"; line: number };

export type Stage = {
  /** In lower case. */
  name: string | undefined;
  /** What `FROM` names, with its variables in place; or a sentence that says why it is not valid. */
  base: Lexed | string;
  /** What `--platform` says, with its variables in place. */
  platform: string | undefined;
  sources: readonly Source[];
  /** What stages that are built on this one take files from. */
  triggered: readonly Source[];
  line: number;
};

/**
 * The stages of a Dockerfile.
 * @param given - arguments of the build
 * @param predefined - arguments that every Dockerfile has, by name
 */
export function stagesOf(
  { instructions, escapeToken }: ParsedDockerfile,
  given: ReadonlyMap<string, string>,
  predefined: ReadonlyMap<string, string>,
): Stage[] {
  const globals = new Map([...predefined].map(([name, value]) => [name, given.get(name) ?? value]));
  const variables: Variables = (name) => globals.get(name);
  const stages: Stage[] = [];
  let sources: Source[] = [];
  let triggered: Source[] = [];
  for (const instruction of instructions) {
    const { keyword, rest, flags, line } = instruction;
    if (keyword === "from") {
      const [base = "", as, name] = rest.split(/\s+/);
      sources = [];
      triggered = [];
      const platform = lex(flagOf(flags, "platform") ?? "", { escapeToken, variables });
      stages.push({
        name: as?.toLowerCase() === "as" ? name?.toLowerCase() : undefined,
        base: lex(base, { escapeToken, variables }),
        platform: typeof platform === "string" || platform.text === "" ? undefined : platform.text,
        ...{ sources, triggered, line },
      });
    } else if (stages.length === 0) {
      if (keyword === "arg") declare(rest, escapeToken, given, globals);
    } else if (keyword === "onbuild") {
      triggered.push(...sourcesOf(triggerOf(instruction, escapeToken)));
    } else sources.push(...sourcesOf(instruction));
  }
  return stages;
}

/** `ARG A=1 B="2 3" C`: what the build is given wins; without either there is no value. */
function declare(
  rest: string,
  escapeToken: string,
  given: ReadonlyMap<string, string>,
  globals: Map<string, string>,
): void {
  for (const word of splitWords(rest, escapeToken)) {
    const equals = word.indexOf("=");
    const name = equals === -1 ? word : word.slice(0, equals);
    const value = given.get(name);
    if (value !== undefined) globals.set(name, value);
    else if (equals !== -1) {
      const lexed = lex(word.slice(equals + 1), { escapeToken, variables: (other) => globals.get(other) });
      if (typeof lexed !== "string") globals.set(name, lexed.text);
    }
  }
}

/** At blanks outside of quotes. Source: moby/buildkit, frontend/dockerfile/parser/line_parsers.go, parseWords. */
function splitWords(text: string, escapeToken: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quote === "" && /\s/.test(character)) {
      if (word !== "") words.push(word);
      word = "";
      continue;
    }
    if (character === quote) quote = "";
    else if (quote === "" && (character === "'" || character === '"')) quote = character;
    word += character;
    if (character === escapeToken && quote !== "'") {
      at += 1;
      word += text.charAt(at);
    }
  }
  return word === "" ? words : [...words, word];
}

/** The instruction that `ONBUILD` keeps for later. */
function triggerOf({ rest, line }: Instruction, escapeToken: string): Instruction {
  const [, keyword = "", after = ""] = /^(\S+)\s*(.*)$/s.exec(rest) ?? [];
  const flags: string[] = [];
  let left = after;
  for (let word = /^--\S*/.exec(left)?.[0]; word !== undefined; word = /^--\S*/.exec(left)?.[0]) {
    const plain = lex(word, { escapeToken, variables: () => undefined, keepUnset: true });
    flags.push(typeof plain === "string" ? word : plain.text);
    left = left.slice(word.length).trimStart();
  }
  return { keyword: keyword.toLowerCase(), flags, rest: left, line };
}

function sourcesOf({ keyword, flags, line }: Instruction): Source[] {
  if (keyword === "copy") {
    const name = flagOf(flags, "from");
    return name === undefined || name === "" ? [] : [{ name, by: "COPY --from", line }];
  }
  if (keyword !== "run") return [];
  const mounts = flags.flatMap((flag) => (flag.startsWith("--mount=") ? [flag.slice("--mount=".length)] : []));
  return mounts.flatMap((mount): Source[] => {
    const name = fieldsOf(mount).find(([key]) => key === "from")?.[1];
    return name === undefined || name === "" ? [] : [{ name, by: "RUN --mount", line }];
  });
}

/** One line of CSV: a field with a comma stands in quotes. */
function fieldsOf(mount: string): [string, string][] {
  const fields = mount.match(/(?:"(?:[^"]|"")*"|[^,])+/g) ?? [];
  return fields.map((field) => {
    const text = /^".*"$/s.test(field) ? field.slice(1, -1).replaceAll('""', '"') : field;
    const equals = text.indexOf("=");
    return equals === -1 ? [text.toLowerCase(), ""] : [text.slice(0, equals).toLowerCase(), text.slice(equals + 1)];
  });
}

function flagOf(flags: readonly string[], name: string): string | undefined {
  return flags.find((flag) => flag.startsWith(`--${name}=`))?.slice(name.length + 3);
}
