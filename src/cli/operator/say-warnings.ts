import type { Terminal } from "../client/command-failure.js";
import { listAt, sentenceAt } from "../client/json-value.js";

/** What was taken and looks like a mistake. */
export function sayWarnings({ terminal }: { terminal: Pick<Terminal, "say"> }, body: unknown): void {
  for (const warning of listAt(body, "warnings")) {
    const at = sentenceAt(warning, "at");
    terminal.say(`Warning: ${at === undefined ? "" : `${at}: `}${sentenceAt(warning, "message") ?? ""}`);
  }
}
