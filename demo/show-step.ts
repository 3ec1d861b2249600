/** What the demo prints. Nothing of it holds a whole token. */
export type Screen = {
  chapter(title: string): void;
  say(text: string): void;
  /** One step: what is done, what a person would type for it, and afterwards its result. */
  step(title: string, command: string): void;
  result(text: string): void;
};

/** @param interrupted when it is aborted, the next step throws instead of beginning */
export function createScreen(write: (line: string) => void, interrupted: AbortSignal): Screen {
  let number = 0;
  const indented = (text: string, first: string, rest: string) =>
    write(
      text
        .trimEnd()
        .split("\n")
        .map((line, index) => (index === 0 ? first : rest) + line)
        .join("\n"),
    );
  return {
    chapter: (title) => write(`\n=== ${title} ===`),
    say: (text) => write(text),
    step(title, command) {
      interrupted.throwIfAborted();
      number += 1;
      write(`\n${number}. ${title}`);
      indented(command, "   $ ", "     ");
    },
    result: (text) => indented(text, "   -> ", "      "),
  };
}

/** A token or password as the demo shows it: enough to tell two apart, too little to use. */
export function shorten(secret: string): string {
  return secret.length <= 12 ? "..." : `${secret.slice(0, 8)}...(${secret.length} characters)`;
}
