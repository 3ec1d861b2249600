import { type Lexed, lex, type Variables } from "./shell-lexer.js";

/** A stage or image that a stage copies or mounts files from. */
export type Source = { name: string; by: "COPY --from" | "RUN --mount"; line: number };

export type Stage = {
  /** In lower case. */
  name: string | undefined;
  /** What `FROM` names, with variables replaced; or a sentence on why it is not valid. */
  base: Lexed | string;
  /** `--platform`, with variables replaced. */
  platform: string | undefined;
  sources: readonly Source[];
  /** Sources of ONBUILD instructions, for stages that are built on this one. */
  triggered: readonly Source[];
  line: number;
};

/**
 * The stages of a Dockerfile.
 * @param given - build arguments
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

/** `ARG A=1 B="2 3" C`: a build argument wins over the default. */
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

/** Splits at blanks outside quotes. Source: moby/buildkit, frontend/dockerfile/parser/line_parsers.go, parseWords. */
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

/** One line of CSV: a field with a comma is in quotes. */
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

export type Instruction = {
  /** In lower case. */
  keyword: string;
  /** The leading `--from=x`, without quotes and escapes. */
  flags: readonly string[];
  rest: string;
  /** Of its first line, from 1. */
  line: number;
};

export type ParsedDockerfile = {
  escapeToken: string;
  /** The frontend, and the line that names it. */
  syntax?: { image: string; line: number };
  instructions: readonly Instruction[];
};

const knownDirectives: ReadonlySet<string> = new Set(["syntax", "escape", "check"]);

/**
 * Splits a Dockerfile into instructions: continued lines are joined, comments and heredocs left out.
 * Source: moby/buildkit, frontend/dockerfile/parser (parser.go, directives.go, split_command.go).
 */
export function parseDockerfile(text: string): ParsedDockerfile {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  // BuildKit reads a shebang as a comment.
  const escapeToken = directive(lines, "escape", "#", 0)?.value === "`" ? "`" : "\\";
  const skipped = lines[0]?.startsWith("#!") ? 1 : 0;
  const found = directive(lines, "syntax", "#", skipped) ?? directive(lines, "syntax", "//", skipped);
  const syntax = found && { image: found.value.split(" ", 1)[0] ?? "", line: found.line };
  return { escapeToken, ...(syntax && { syntax }), instructions: readInstructions(lines, escapeToken) };
}

/** Parser directives come first; any other line ends them. */
function directive(lines: readonly string[], name: string, mark: string, skipped: number) {
  for (const [index, line] of lines.entries()) {
    if (index < skipped) continue;
    const text = mark === "#" ? line.trimStart() : line;
    const [, key, value] = /^\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$/.exec(text.slice(mark.length)) ?? [];
    if (!text.startsWith(mark) || key === undefined || value === undefined) return undefined;
    if (!knownDirectives.has(key.toLowerCase())) return undefined;
    if (key.toLowerCase() === name) return { value, line: index + 1 };
  }
  return undefined;
}

function readInstructions(lines: readonly string[], escapeToken: string): Instruction[] {
  const instructions: Instruction[] = [];
  for (let at = 0; at < lines.length; ) {
    const { text, line, next } = logicalLine(lines, at, escapeToken);
    at = next;
    const instruction = parseInstruction(text, escapeToken, line);
    if (instruction === undefined) continue;
    instructions.push(instruction);
    for (const { word, chomps } of heredocsOf(instruction, text, escapeToken))
      at = lineAfterHeredoc(lines, at, word, chomps);
  }
  return instructions;
}

const isComment = (line: string): boolean => line.trimStart().startsWith("#");

function logicalLine(lines: readonly string[], from: number, escapeToken: string) {
  const first = lines[from] ?? "";
  const start = { text: "", line: from + 1, next: from + 1 };
  if (isComment(first)) return start;
  let { text, isContinued } = withoutContinuation(first.trimStart(), escapeToken);
  let next = from + 1;
  for (; isContinued && next < lines.length; next += 1) {
    const line = lines[next] ?? "";
    // Inside an instruction comments and empty lines are skipped.
    if (isComment(line) || line.trim() === "") continue;
    const more = withoutContinuation(line, escapeToken);
    text += more.text;
    isContinued = more.isContinued;
  }
  return { text, line: from + 1, next };
}

/** An escape character at the end of a line continues it, unless it is escaped itself. */
function withoutContinuation(line: string, escapeToken: string): { text: string; isContinued: boolean } {
  const trimmed = line.replace(/[ \t]+$/, "");
  const isContinued = trimmed.endsWith(escapeToken) && trimmed.at(-2) !== escapeToken;
  return isContinued ? { text: trimmed.slice(0, -1), isContinued } : { text: line, isContinued };
}

function parseInstruction(text: string, escapeToken: string, line: number): Instruction | undefined {
  const [, keyword, after = ""] = /^\s*(\S+)(?:\s+(.*))?$/s.exec(text) ?? [];
  if (keyword === undefined) return undefined;
  const { flags, rest } = splitFlags(after, escapeToken);
  return { keyword: keyword.toLowerCase(), flags, rest: rest.trim(), line };
}

function splitFlags(text: string, escapeToken: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let rest = text.trimStart();
  while (rest.startsWith("--")) {
    const { word, length } = flagAt(rest, escapeToken);
    rest = rest.slice(length).trimStart();
    if (word === "--") break;
    flags.push(word);
  }
  return { flags, rest };
}

function flagAt(text: string, escapeToken: string): { word: string; length: number } {
  let word = "";
  let quote: string | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quote === undefined && /\s/.test(character)) return { word, length: at };
    if (character === quote) quote = undefined;
    else if (quote === undefined && (character === "'" || character === '"')) quote = character;
    else if (character === escapeToken) {
      at += 1;
      word += text.charAt(at);
    } else word += character;
  }
  return { word, length: text.length };
}

/** The heredocs that begin in an instruction. */
function heredocsOf({ keyword, rest }: Instruction, text: string, escapeToken: string) {
  const inner = keyword === "onbuild" ? parseInstruction(rest, escapeToken, 0) : { keyword, rest };
  if (inner === undefined || !["add", "copy", "run"].includes(inner.keyword)) return [];
  if (!text.includes("<<") || isJsonList(inner.rest)) return [];
  const options = { escapeToken: "\\", variables: () => undefined, rawQuotes: true, rawEscapes: true, keepUnset: true };
  const lexed = lex(text, options);
  if (typeof lexed === "string") return [];
  return lexed.words.flatMap((word) => {
    const [, dash, rawWord] = /^\d*<<(-?)\s*([^<]+)$/.exec(word) ?? [];
    const plain = rawWord === undefined ? "" : lex(rawWord, { ...options, rawQuotes: false, rawEscapes: false });
    if (typeof plain === "string" || plain.words.length !== 1) return [];
    return [{ word: plain.words[0] ?? "", chomps: dash === "-" }];
  });
}

function isJsonList(text: string): boolean {
  if (!text.startsWith("[")) return false;
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}

function lineAfterHeredoc(lines: readonly string[], from: number, word: string, chomps: boolean): number {
  for (let at = from; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    if ((chomps ? line.replace(/^\t+/, "") : line) === word) return at + 1;
  }
  return lines.length;
}
