import { interpolate } from "./interpolate.js";
import type { Variables } from "./shell-lexer.js";

/**
 * Reads a `.env` file as compose does: `NAME=value` or `NAME: value`, with comments, quotes over several lines, and
 * variables of the environment and of the lines before. A name alone is taken from the environment.
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
      // Compose refuses the file; what stands in it before counts.
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
  // Compose's own way to write a dollar.
  $: "$$",
};

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, (whole, character: string) => escapes[character] ?? whole);
}
