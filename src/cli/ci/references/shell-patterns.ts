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
      // What ends the substitution is escaped for it alone.
      if (next === "}" || next === "/") continue;
      if (!["*", "?", "\\"].includes(next) || next === "") return undefined;
      source += `\\${next}`;
      at += 1;
    } else source += character.replace(/[[\]{}.+()|^$]/, "\\$&");
  }
  return source;
}

/** Without the part at the beginning that the pattern fits. */
export function removePrefix(value: string, pattern: string, isLongest: boolean): string | undefined {
  const source = patternSource(pattern, isLongest);
  return source === undefined ? undefined : value.replace(new RegExp(`^(?:${source})`, "u"), "");
}

/** Without the part at the end that the pattern fits. */
export function removeSuffix(value: string, pattern: string, isLongest: boolean): string | undefined {
  const source = patternSource(pattern, true);
  if (source === undefined) return undefined;
  const whole = new RegExp(`^(?:${source})$`, "u");
  const starts = [...Array(value.length + 1).keys()].filter((start) => whole.test(value.slice(start)));
  const start = isLongest ? starts.at(0) : starts.at(-1);
  return start === undefined ? value : value.slice(0, start);
}

/** With the first part that the pattern fits replaced, or all of them. */
export function replacePattern(value: string, pattern: string, by: string, all: boolean): string | undefined {
  const source = patternSource(pattern, true);
  return source === undefined ? undefined : value.replace(new RegExp(source, all ? "gu" : "u"), () => by);
}
