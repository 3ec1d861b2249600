/** What a variable stands for; `undefined` for one that is not set. */
export type Variables = (name: string) => string | undefined;

/** The text with its variables in place, or the name of the first one that has no value. */
export type Interpolated = { text: string } | { missing: string };

type EscapedBy = "\\" | "$";

const nameStart = /^[A-Za-z_][A-Za-z0-9_]*/;

/**
 * Puts variables in their places as BuildKit does in a Dockerfile and compose in its files: `$NAME`, `${NAME}`, and with a
 * word of its own `${NAME-word}`, `${NAME+word}`, `${NAME?word}`, each also with a colon, for which empty counts as unset.
 * Sources: Dockerfile reference, "Environment replacement"; compose specification, "Interpolation".
 * @param escapedBy - what makes the dollar that follows a plain one: a backslash in a Dockerfile, a dollar in a compose file
 */
export function interpolate(text: string, variables: Variables, escapedBy: EscapedBy): Interpolated {
  let result = "";
  let rest = text;
  while (rest !== "") {
    const dollar = rest.indexOf("$");
    if (dollar === -1) return { text: result + rest };
    if (escapedBy === "\\" && rest[dollar - 1] === "\\") {
      result += `${rest.slice(0, dollar - 1)}$`;
      rest = rest.slice(dollar + 1);
      continue;
    }
    result += rest.slice(0, dollar);
    rest = rest.slice(dollar + 1);
    if (escapedBy === "$" && rest.startsWith("$")) {
      result += "$";
      rest = rest.slice(1);
      continue;
    }
    const { value, length } = expand(rest, variables, escapedBy);
    if ("missing" in value) return value;
    result += value.text;
    rest = rest.slice(length);
  }
  return { text: result };
}

function expand(rest: string, variables: Variables, escapedBy: EscapedBy): { value: Interpolated; length: number } {
  if (!rest.startsWith("{")) {
    const name = nameStart.exec(rest)?.[0];
    if (name === undefined) return { value: { text: "$" }, length: 0 };
    return { value: asIs(name, variables), length: name.length };
  }
  const end = closingBrace(rest);
  const inner = rest.slice(1, end);
  const name = nameStart.exec(inner)?.[0] ?? "";
  return { value: withWord(name, inner.slice(name.length), variables, escapedBy), length: end + 1 };
}

function asIs(name: string, variables: Variables): Interpolated {
  const value = variables(name);
  return value === undefined ? { missing: name } : { text: value };
}

function withWord(name: string, operation: string, variables: Variables, escapedBy: EscapedBy): Interpolated {
  if (operation === "") return asIs(name, variables);
  const [, colon, sign, word = ""] = /^(:?)([-+?])(.*)$/s.exec(operation) ?? [];
  const value = variables(name);
  const isSet = value !== undefined && !(colon === ":" && value === "");
  if (sign === "-") return isSet ? { text: value } : interpolate(word, variables, escapedBy);
  if (sign === "+") return isSet ? interpolate(word, variables, escapedBy) : { text: "" };
  // `?word`, and what is no operation at all.
  return isSet && sign === "?" ? { text: value } : { missing: name || operation };
}

/** The brace that ends this one, past those of variables inside its word. */
function closingBrace(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    if (text[at] === "}") depth -= 1;
    if (depth === 0) return at;
  }
  return text.length;
}
