import type { Environment } from "../../settings/reader.js";
import { styled } from "../client/output.js";

/** Emphasis on a terminal; where there is none, the text as it is. */
export type Paint = Record<"bold" | "red" | "green" | "yellow", (text: string) => string>;

/**
 * Whether to colour: FORCE_COLOR decides, then NO_COLOR (no-color.org: set and not empty), then whether it is a terminal.
 * In that order, as Node does it.
 */
export function mayColour(environment: Environment, isTerminal: boolean): boolean {
  const { FORCE_COLOR, NO_COLOR, TERM } = environment;
  if (FORCE_COLOR !== undefined) return !["0", "false"].includes(FORCE_COLOR);
  if (NO_COLOR) return false;
  return isTerminal && TERM !== "dumb";
}

export function paintFor(isColoured: boolean): Paint {
  const painter = (on: number, off: number) => (text: string) => (isColoured ? styled(text, on, off) : text);
  return { bold: painter(1, 22), red: painter(31, 39), green: painter(32, 39), yellow: painter(33, 39) };
}
