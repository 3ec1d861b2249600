import type { PrismaClient } from "../db/database.js";
import { GroupCommit } from "../db/group-commit.js";
import type { ChangeSet, SecretHead, SecretLimits } from "./secret-change.js";
import { writeChangeSets } from "./store.js";

/** Base64 characters. Something larger than this gains nothing from company, and would only hold it up. */
const maxGathered = 64 * 1024;
const maxBatch = 64;

/**
 * Writes sets of changes. New versions of secrets that no entry names touch nothing that is shared, so those of
 * concurrent requests are gathered into one statement. All others go alone, because they wait for their factory's row.
 */
export class SecretWriter {
  readonly #gathered: GroupCommit<ChangeSet, boolean>;
  readonly #writeAlone: (set: ChangeSet) => Promise<boolean>;

  constructor(prisma: PrismaClient, limits: SecretLimits) {
    this.#gathered = new GroupCommit((sets) => writeChangeSets(prisma, limits, sets), maxBatch);
    this.#writeAlone = async (set) => (await writeChangeSets(prisma, limits, [set])).every(Boolean);
  }

  /**
   * @param heads - the secrets as the writer saw them
   * @returns whether the set was written; if not, something is no longer as the writer saw it
   */
  write(set: ChangeSet, heads: ReadonlyMap<string, SecretHead>): Promise<boolean> {
    const isPlain = set.changes.every(
      ({ op, name }) => op === "stage" || (op === "update" && heads.get(name)?.named === false),
    );
    const size = set.changes.reduce((sum, { ciphertext }) => sum + (ciphertext?.length ?? 0), 0);
    return isPlain && size <= maxGathered ? this.#gathered.add(set) : this.#writeAlone(set);
  }
}
