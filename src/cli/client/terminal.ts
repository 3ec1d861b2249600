import { visibleInline } from "../../core/visible-text.js";
import { writeCommand, writeErr, writeOut } from "./output.js";

/** Where a command speaks. What it was asked for goes to `out`: lines, a table or a document. All else goes to `say`. */
export type Terminal = {
  out(text: string): void;
  /** One line. A line feed in it is part of a value, and is shown as `\n`. */
  say(line: string): void;
  /** What takes its time: for a person who watches, and not for a log. One line. */
  note(line: string): void;
  /** A command for the CI system. It stands on standard error unless it is what the command was asked for. */
  command(line: string, stream?: "out" | "err"): void;
};

/** The standard streams of this process. */
export function standardTerminal(): Terminal {
  const say = (line: string): void => writeErr(`${visibleInline(line)}\n`);
  return {
    out: (text) => writeOut(`${text}\n`),
    say,
    note: (line) => {
      if (process.stderr.isTTY) say(line);
    },
    command: (line, stream = "err") => writeCommand(stream, line),
  };
}
