import { Problem } from "../core/problem.js";
import type { Minted, MintRequest } from "./provider.js";

// One mint takes up to a handful of calls of at most 5 s each, and the SDK's pauses between retries.
const mintTimeoutMs = 15_000;

/**
 * Mints, and gives up after 15 s in all.
 * @throws Problem for everything that a person can act on, `upstream-timeout` among them; or the reason of `signal`
 */
export async function mintInTime<T extends Minted>(
  mint: (request: MintRequest) => Promise<T>,
  request: MintRequest,
): Promise<T> {
  const deadline = AbortSignal.timeout(mintTimeoutMs);
  const signal = AbortSignal.any([request.signal, deadline]);
  try {
    return await mint({ ...request, signal });
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    if (!deadline.aborted || error instanceof Problem) throw error;
    const seconds = mintTimeoutMs / 1_000;
    throw new Problem(
      "upstream-timeout",
      `No token for registry entry "${request.entry.id}" within ${seconds} s. Try again later.`,
    );
  }
}
