import type { Variables } from "./shell-lexer.js";

export type Interpolated = {
  text: string;
  /** Variables without a value; they are empty in the text. */
  unset: readonly string[];
  /** Why compose refuses the text. */
  wrong?: string;
};

const name = /^[A-Za-z_][A-Za-z0-9_]*/;

/**
 * Replaces variables as compose does in its files and in `.env`: `$NAME`, `${NAME}`, `${NAME-word}`, `${NAME+word}`,
 * `${NAME?word}`; with a colon before the sign, empty counts as unset. `$$` is a dollar. Sources: compose specification, "Interpolation"; compose-spec/compose-go, template/template.go.
 */
export function interpolate(text: string, variables: Variables): Interpolated {
  let result = "";
  const unset: string[] = [];
  let wrong: string | undefined;
  for (let at = 0; at < text.length; ) {
    const dollar = text.indexOf("$", at);
    if (dollar === -1) {
      result += text.slice(at);
      break;
    }
    result += text.slice(at, dollar);
    const found = substitution(text.slice(dollar + 1), variables);
    result += found.text;
    unset.push(...found.unset);
    wrong ??= found.wrong;
    at = dollar + 1 + found.length;
  }
  return { text: result, unset, ...(wrong !== undefined && { wrong }) };
}

type Found = Interpolated & { length: number };

/** @param rest - the text after the dollar */
function substitution(rest: string, variables: Variables): Found {
  if (rest.startsWith("$")) return { text: "$", unset: [], length: 1 };
  if (!rest.startsWith("{")) {
    const plain = name.exec(rest)?.[0];
    // Any other dollar is literal.
    if (plain === undefined) return { text: "$", unset: [], length: 0 };
    return { ...variableValue(plain, variables), length: plain.length };
  }
  const end = closingBrace(rest);
  const inner = rest.slice(1, end);
  const variable = name.exec(inner)?.[0];
  if (end === -1 || variable === undefined) return { ...invalid, length: end === -1 ? rest.length : end + 1 };
  return { ...withWord(variable, inner.slice(variable.length), variables), length: end + 1 };
}

const invalid: Interpolated = { text: "", unset: [], wrong: "A variable substitution in braces is not valid." };

function variableValue(variable: string, variables: Variables): Interpolated {
  const value = variables(variable);
  return { text: value ?? "", unset: value === undefined ? [variable] : [] };
}

function withWord(variable: string, operation: string, variables: Variables): Interpolated {
  if (operation === "") return variableValue(variable, variables);
  const [, colon, sign, word = ""] = /^(:?)([-+?])(.*)$/s.exec(operation) ?? [];
  const value = variables(variable);
  const isSet = value !== undefined && !(colon === ":" && value === "");
  switch (sign) {
    case "-":
      return isSet ? { text: value, unset: [] } : interpolate(word, variables);
    case "+":
      return isSet ? interpolate(word, variables) : { text: "", unset: [] };
    case "?":
      if (isSet) return { text: value, unset: [] };
      return { text: "", unset: [variable], wrong: requiredSentence(variable, word) };
    default:
      return invalid;
  }
}

const requiredSentence = (variable: string, word: string): string =>
  `The variable ${variable} must have a value${word === "" ? "" : ` (${word})`}.`;

function closingBrace(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    if (text[at] === "}") depth -= 1;
    if (depth === 0) return at;
  }
  return -1;
}

/**
 * Reads a `.env` file as compose does: `NAME=value` or `NAME: value`, with comments, multi-line quotes, and variables of
 * the environment and of earlier lines. A name alone takes its value from the environment.
 * Sources: docs.docker.com, "Interpolation", ".env file syntax"; compose-spec/compose-go, dotenv/parser.go.
 */
export function parseDotEnv(text: string, environment: Variables): Map<string, string> {
  const values = new Map<string, string>();
  const lookUp: Variables = (name) => environment(name) ?? values.get(name);
  let rest = text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  for (;;) {
    rest = rest.replace(/^(?:\s+|#[^\n]*)+/, "");
    if (rest === "") return values;
    const [head, name = "", mark] = /^(?:export[ \t]+)?([\p{L}\p{N}_.[\]-]+)[ \t]*([=:]|\n|$)/u.exec(rest) ?? [];
    if (head === undefined) {
      // Compose refuses the file; the lines before count.
      rest = rest.replace(/^[^\n]*/, "");
      continue;
    }
    rest = rest.slice(head.length);
    if (mark !== "=" && mark !== ":") {
      const inherited = environment(name);
      if (inherited !== undefined) values.set(name, inherited);
      continue;
    }
    const { value, length } = valueAt(rest, lookUp);
    values.set(name, value);
    rest = rest.slice(length);
  }
}

function valueAt(text: string, variables: Variables): { value: string; length: number } {
  const blanks = /^[ \t\v\f]*/.exec(text)?.[0].length ?? 0;
  const rest = text.slice(blanks);
  const quoted = /^(["'])((?:\\.|(?!\1)[^\\])*)\1/s.exec(rest);
  if (quoted) {
    const [whole, quote, inner = ""] = quoted;
    const value = quote === "'" ? inner.replaceAll("\\'", "'") : interpolate(unescaped(inner), variables).text;
    // What follows on the line is a comment.
    const after = /^[^\n]*/.exec(rest.slice(whole.length))?.[0].length ?? 0;
    return { value, length: blanks + whole.length + after };
  }
  const line = /^[^\n]*/.exec(rest)?.[0] ?? "";
  const written = (line.startsWith("#") ? "" : (line.split(" #", 1)[0] ?? "")).trimEnd();
  return { value: interpolate(written, variables).text, length: blanks + line.length };
}

const escapes: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  '"': '"',
  "\\": "\\",
  // A literal dollar for `interpolate`.
  $: "$$",
};

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, (whole, character: string) => escapes[character] ?? whole);
}
