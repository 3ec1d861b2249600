import type { Caller } from "../core/caller.js";

/** A caller without grants, and what remembers it. */
const bytesOfCaller = 1_024;
/** Short texts in objects take about four times the memory of their JSON. */
const bytesOfCharacter = 4;

/**
 * How many bytes of memory a caller takes while it is remembered, about. One has no grants, the next has a hundred lines
 * of a hundred repositories each: a memory that counted both as one would be full long after the machine's.
 * @param held - what else is kept with it
 */
export function callerWeight({ grants, evidence }: Caller, held?: unknown): number {
  return bytesOfCaller + bytesOfCharacter * JSON.stringify([grants, evidence, held]).length;
}
