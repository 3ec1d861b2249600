import type { PrismaClient } from "../db/database.js";
import { GroupCommit } from "../db/group-commit.js";
import type { ChangeSet, SecretLimits, WriteOutcome } from "./secret-change.js";
import { writeChangeSets } from "./store.js";

/** Base64 characters. Something larger than this gains nothing from company, and would only hold it up. */
const maxGathered = 64 * 1024;
const maxBatch = 64;

/**
 * Writes sets of changes. New versions of secrets that no entry names touch nothing that is shared, so those of
 * concurrent requests are gathered into one statement. All others go alone, because they wait for their factory's row.
 */
export class SecretWriter {
  readonly #gathered: GroupCommit<ChangeSet, WriteOutcome>;
  readonly #writeAlone: (set: ChangeSet) => Promise<WriteOutcome>;

  constructor(prisma: PrismaClient, limits: SecretLimits) {
    this.#gathered = new GroupCommit((sets) => writeChangeSets(prisma, limits, sets), maxBatch);
    this.#writeAlone = async (set) => (await writeChangeSets(prisma, limits, [set]))[0] ?? "changed";
  }

  write(set: ChangeSet): Promise<WriteOutcome> {
    const isPlain = set.changes.every(({ op, seen_named }) => op === "stage" || (op === "update" && !seen_named));
    const size = set.changes.reduce((sum, { ciphertext }) => sum + (ciphertext?.length ?? 0), 0);
    return isPlain && size <= maxGathered ? this.#gathered.add(set) : this.#writeAlone(set);
  }
}
