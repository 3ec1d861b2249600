/**
 * What a terminal, a log viewer or a reader's eye could take for something else: control characters (all but the line
 * feed and the tab), bidirectional and other format characters, separators of lines and paragraphs, characters without
 * a width, and halves of surrogate pairs.
 */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** GitHub's runner reads a line that begins with `::`, after blanks of any kind, as a command. */
const commandAtLineStart = /^([^\S\n]*):(?=:)/gm;

/** GitHub's runner, Azure Pipelines and TeamCity look for `##[name]`, `##vso[` and `##teamcity[` anywhere in a line. */
const commandAnywhere = /#(?=#[\w.-]*\[)/g;

/**
 * The same text with all that could act on a terminal or a CI system written as `\uXXXX`. Line feeds and tabs stay. JSON
 * stays the same JSON: such characters stand only inside its strings, where this is an escape sequence.
 * Sources: Unicode 15.1 (general categories, DerivedCoreProperties.txt); actions/runner, src/Runner.Common/ActionCommand.cs;
 * Azure Pipelines, "Logging commands".
 */
export function visible(text: string): string {
  return withoutHidden(text)
    .replace(commandAtLineStart, (_, blanks: string) => `${blanks}\\u003a`)
    .replace(commandAnywhere, "\\u0023");
}

function withoutHidden(text: string): string {
  // Nearly every text is printable ASCII, and this is on the way of every line of the log.
  if (/^[\n\t -~]*$/.test(text)) return text;
  return text.replace(hidden, (found) => (found === "\n" || found === "\t" ? found : escaped(found)));
}

/** The same for a value inside a line: line feeds and tabs are written as `\n` and `\t`, so it stays on its line. */
export function visibleInline(text: string): string {
  return visible(text.replaceAll("\n", "\\n").replaceAll("\t", "\\t"));
}

/** A sentence or a cell of someone else, for one line: control characters, line feeds among them, become a blank. */
export const oneLine = (text: string): string => visible(text.replace(/\p{Cc}+/gu, " "));

/** Whether `visible` leaves the text as it is. */
export const isVisible = (text: string): boolean => visible(text) === text;

/** As JSON writes it: one escape for each UTF-16 unit. */
function escaped(character: string): string {
  return [...Array(character.length).keys()]
    .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
    .join("");
}
