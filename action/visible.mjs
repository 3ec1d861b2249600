// What text may reach the job's log. The same as src/core/visible-text.ts, which has the reasons and the sources; a test holds
// the two together.
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

const escaped = (character) =>
  Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
    .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
    .join("");

/** The text without anything that could act on a terminal or on the runner. Line feeds and tabs stay. */
export function visible(text) {
  return text
    .replace(hidden, (found) => (found === "\n" || found === "\t" ? found : escaped(found)))
    .replace(/^([^\S\n]*):(?=:)/gm, "$1\\u003a")
    .replace(/#(?=#[\w.-]*\[)/g, "\\u0023");
}
