/** The value of a variable; `undefined` when it is not set. */
export type Variables = (name: string) => string | undefined;

export type LexerOptions = {
  /** The backslash, or the backtick of the escape directive. */
  escapeToken: string;
  variables: Variables;
  rawQuotes?: boolean;
  rawEscapes?: boolean;
  /** Leave variables without a value unreplaced. */
  keepUnset?: boolean;
};

export type Lexed = {
  text: string;
  words: readonly string[];
  unset: readonly string[];
};

/** BuildKit would refuse the text with this error. */
class LexerFailure extends Error {}

type State = LexerOptions & { text: string; at: number; unset: Set<string>; rawEscapes: boolean };

/**
 * Removes quotes and escapes from a text and replaces variables, as BuildKit does.
 * Source: moby/buildkit, frontend/dockerfile/shell/lex.go; Dockerfile reference, "Environment replacement".
 * @returns a sentence about the error, for a text that BuildKit refuses
 */
export function lex(text: string, options: LexerOptions): Lexed | string {
  const state = { ...options, text, at: 0, unset: new Set<string>(), rawEscapes: options.rawEscapes === true };
  try {
    const { result, words } = until(state, undefined);
    return { text: result, words, unset: [...state.unset] };
  } catch (error) {
    if (error instanceof LexerFailure) return error.message;
    throw error;
  }
}

function until(state: State, stop: string | undefined): { result: string; words: string[] } {
  let result = "";
  let word = "";
  const words: string[] = [];
  const add = (text: string, mayEnd: boolean): void => {
    result += text;
    for (const character of text) {
      if (!mayEnd || !/\s/.test(character)) word += character;
      else if (word !== "") {
        words.push(word);
        word = "";
      }
    }
  };
  while (state.at < state.text.length) {
    const character = state.text.charAt(state.at);
    if (character === stop) {
      state.at += 1;
      return { result, words: word === "" ? words : [...words, word] };
    }
    if (character === "'") add(singleQuoted(state), false);
    else if (character === '"') add(doubleQuoted(state), false);
    else if (character === "$") add(dollar(state), true);
    else if (character === "<") add(possibleHeredoc(state), false);
    else if (character === state.escapeToken) {
      state.at += 1;
      add((state.rawEscapes ? character : "") + state.text.charAt(state.at), false);
      state.at += 1;
    } else {
      add(character, true);
      state.at += 1;
    }
  }
  if (stop !== undefined) throw new LexerFailure(`A closing "${stop}" is missing.`);
  return { result, words: word === "" ? words : [...words, word] };
}

function singleQuoted(state: State): string {
  const end = state.text.indexOf("'", state.at + 1);
  if (end === -1) throw new LexerFailure("A single quote is not closed.");
  const inner = state.text.slice(state.at + 1, end);
  state.at = end + 1;
  return state.rawQuotes === true ? `'${inner}'` : inner;
}

function doubleQuoted(state: State): string {
  const quote = state.rawQuotes === true ? '"' : "";
  let result = quote;
  state.at += 1;
  while (state.at < state.text.length) {
    const character = state.text.charAt(state.at);
    if (character === '"') {
      state.at += 1;
      return result + quote;
    }
    if (character === "$") result += dollar(state);
    else {
      const next = state.text.charAt(state.at + 1);
      const isEscape = character === state.escapeToken && ['"', "$", state.escapeToken].includes(next);
      result += isEscape ? (state.rawEscapes ? character : "") + next : character;
      state.at += isEscape ? 2 : 1;
    }
  }
  throw new LexerFailure("A double quote is not closed.");
}

/** A heredoc may have blanks between `<<` and its word. */
function possibleHeredoc(state: State): string {
  const found = /^<(?:<[\t\r ]*)?/.exec(state.text.slice(state.at))?.[0] ?? "<";
  state.at += found.length;
  return found;
}

function dollar(state: State): string {
  state.at += 1;
  if (state.text.charAt(state.at) !== "{") {
    const name = nameAt(state);
    if (name === "") return "$";
    return variableValue(state, name) ?? (state.keepUnset === true ? `$${name}` : "");
  }
  state.at += 1;
  if (["", "{", "}", ":"].includes(state.text.charAt(state.at))) throw badSubstitution();
  const name = nameAt(state);
  const sign = state.text.charAt(state.at);
  state.at += 1;
  if (sign === "}") return variableValue(state, name) ?? (state.keepUnset === true ? `\${${name}}` : "");
  return sign === "/" ? replaced(state, name) : modified(state, name, sign);
}

const badSubstitution = (): LexerFailure => new LexerFailure("A variable substitution in braces is not valid.");

function modified(state: State, name: string, first: string): string {
  const emptyIsUnset = first === ":";
  const sign = emptyIsUnset ? state.text.charAt(state.at) : first;
  if (emptyIsUnset) state.at += 1;
  if (!(emptyIsUnset ? "-+?" : "-+?#%").includes(sign) || sign === "") throw badSubstitution();
  const word = rawUntil(state, "}", "#%".includes(sign));
  const isNeeded = sign === "?" || sign === "#" || sign === "%";
  const value = isNeeded ? variableValue(state, name) : state.variables(name);
  if (value === undefined && state.keepUnset === true) return `\${${name}${emptyIsUnset ? ":" : ""}${sign}${word}}`;
  const isSet = value !== undefined && !(emptyIsUnset && value === "");
  switch (sign) {
    case "-":
      return isSet ? value : word;
    case "+":
      return isSet ? word : "";
    case "?":
      if (!isSet) throw new LexerFailure(`${name}: ${word === "" ? "this variable must have a value" : word}.`);
      return value;
    default: {
      const isLongest = word.startsWith(sign);
      const pattern = isLongest ? word.slice(1) : word;
      const remove = sign === "#" ? removePrefix : removeSuffix;
      return remove(value ?? "", pattern, isLongest) ?? badPattern();
    }
  }
}

function replaced(state: State, name: string): string {
  const all = state.text.charAt(state.at) === "/";
  if (all) state.at += 1;
  const pattern = rawUntil(state, "/", true);
  const replacement = rawUntil(state, "}", true);
  const value = variableValue(state, name);
  if (value === undefined && state.keepUnset === true) return `\${${name}/${all ? "/" : ""}${pattern}/${replacement}}`;
  return replacePattern(value ?? "", pattern, replacement, all) ?? badPattern();
}

function badPattern(): never {
  throw new LexerFailure("The pattern of a variable substitution is not valid.");
}

function rawUntil(state: State, stop: string, rawEscapes: boolean): string {
  const before = state.rawEscapes;
  state.rawEscapes = rawEscapes;
  const { result } = until(state, stop);
  state.rawEscapes = before;
  return result;
}

/** A name, a number, or one of the shell's special parameters. */
function nameAt(state: State): string {
  const name = /^(?:\d+|[@*#?\-$!]|[\p{L}_][\p{L}\d_]*)/u.exec(state.text.slice(state.at))?.[0] ?? "";
  state.at += name.length;
  return name;
}

function variableValue(state: State, name: string): string | undefined {
  const value = state.variables(name);
  if (value === undefined) state.unset.add(name);
  return value;
}

/**
 * A shell's pattern as a regular expression: `?` is one character, `*` any number. Brackets have no meaning of their own.
 * Source: moby/buildkit, frontend/dockerfile/shell/lex.go, convertShellPatternToRegex.
 * @returns `undefined` for a pattern that BuildKit refuses
 */
function patternSource(pattern: string, isLongest: boolean): string | undefined {
  let source = "";
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === "*") source += isLongest ? ".*" : ".*?";
    else if (character === "?") source += ".";
    else if (character === "\\") {
      const next = pattern.charAt(at + 1);
      // These are escaped only because they would end the substitution.
      if (next === "}" || next === "/") continue;
      if (!["*", "?", "\\"].includes(next) || next === "") return undefined;
      source += `\\${next}`;
      at += 1;
    } else source += character.replace(/[[\]{}.+()|^$]/, "\\$&");
  }
  return source;
}

/** Without the prefix that matches the pattern. */
export function removePrefix(value: string, pattern: string, isLongest: boolean): string | undefined {
  const source = patternSource(pattern, isLongest);
  return source === undefined ? undefined : value.replace(new RegExp(`^(?:${source})`, "u"), "");
}

/** Without the suffix that matches the pattern. */
export function removeSuffix(value: string, pattern: string, isLongest: boolean): string | undefined {
  const source = patternSource(pattern, true);
  if (source === undefined) return undefined;
  const whole = new RegExp(`^(?:${source})$`, "u");
  const starts = [...Array(value.length + 1).keys()].filter((start) => whole.test(value.slice(start)));
  const start = isLongest ? starts.at(0) : starts.at(-1);
  return start === undefined ? value : value.slice(0, start);
}

/** With the first match of the pattern replaced, or all of them. */
export function replacePattern(value: string, pattern: string, by: string, all: boolean): string | undefined {
  const source = patternSource(pattern, true);
  return source === undefined ? undefined : value.replace(new RegExp(source, all ? "gu" : "u"), () => by);
}
