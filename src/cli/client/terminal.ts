/** Where a command speaks. What it was asked for goes to `out`, one line at a time; all else to `say`. */
export type Terminal = {
  out(line: string): void;
  say(line: string): void;
  /** What takes its time: for whoever watches, and not for a log. */
  note(line: string): void;
};

/** The standard streams of this process. */
export function standardTerminal(): Terminal {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    say,
    note: (line) => {
      if (process.stderr.isTTY) say(line);
    },
  };
}
