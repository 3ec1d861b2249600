import { Problem } from "../core/problem.js";
import { EnvelopeError } from "../crypto/envelope.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import { openStoredKey } from "./stored-key.js";
import { readSomeWrapped } from "./work/rewrap/store.js";

/** A key elsewhere takes a call for each. */
const sampled = 50;

/**
 * Sees that the active key is the one that was added, and opens what it has wrapped: some of it, picked anew each time.
 * @throws Problem `key-unavailable`, or `key-unsuitable` with what does not open
 */
export async function proveActiveKey({ prisma, keys }: { prisma: PrismaClient; keys: KeyRing }): Promise<void> {
  const { id } = await keys.active();
  const stored = await readSomeWrapped(prisma, id, sampled);
  const broken: string[] = [];
  await Promise.all(
    stored.map(async (key) => {
      try {
        (await openStoredKey(keys, id, key)).fill(0);
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error;
        broken.push(`${key.kind} key ${key.id}`);
      }
    }),
  );
  if (broken.length === 0) return;
  const some = `${broken.slice(0, 5).join(", ")}${broken.length > 5 ? ", ..." : ""}`;
  throw new Problem(
    "key-unsuitable",
    `The active key ${id} does not open ${broken.length} of ${stored.length} keys that it is said to have wrapped: ${some}. Keep every other key, and see docs/keys.md.`,
  );
}
