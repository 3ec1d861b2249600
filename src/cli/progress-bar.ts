import { redrawLine } from "./client/output.js";

const width = 30;
const everyMs = 100;

/**
 * A bar on one line of standard error. On anything but a terminal it draws nothing.
 * @returns `show` to be called as often as one likes, and `clear` for when the command speaks again
 */
export function progressBar(label: string): { show(done: number, total: number): void; clear(): void } {
  const { stderr } = process;
  let drawnMs = 0;
  return {
    show(done, total) {
      const nowMs = Date.now();
      if (!stderr.isTTY || nowMs - drawnMs < everyMs) return;
      drawnMs = nowMs;
      const share = total === 0 ? 1 : Math.min(1, done / total);
      const filled = Math.round(share * width);
      const bar = "#".repeat(filled) + "-".repeat(width - filled);
      redrawLine(`${label} [${bar}] ${Math.floor(share * 100)} % (${done} of ${total})`);
    },
    clear() {
      if (drawnMs > 0) redrawLine("");
    },
  };
}
