import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import { heldByReplicas, listKeyRows, type Wraps } from "./store.js";

export type KeyState = "new" | "known" | "active" | "retired";

/** A key-encryption key as an operator sees it. `createdAt` is absent for one that was not added yet. */
export type ListedKey = {
  id: string;
  source: string;
  state: KeyState;
  createdAt: Date | undefined;
  wraps: Wraps;
  held: boolean;
  replicasWithout: number;
  problem: string | undefined;
};

/** The keys that the database knows, and those of the settings that wait to be added. */
export async function listKeys({ prisma, keys }: { prisma: PrismaClient; keys: KeyRing }): Promise<ListedKey[]> {
  const [rows, replicas] = await Promise.all([listKeyRows(prisma), heldByReplicas(prisma)]);
  const rest = (id: string) => ({
    held: keys.find(id) !== undefined,
    replicasWithout: replicas.filter((held) => !held.includes(id)).length,
    problem: keys.problemOf(id),
  });
  const known = rows.map(({ id, source, state, createdAt, wraps }) => ({
    ...{ id, source: keys.find(id)?.source ?? source, state: stateOf(state), createdAt, wraps },
    ...rest(id),
  }));
  const added = new Set(rows.map(({ id }) => id));
  const waiting = keys.keys
    .filter(({ id }) => !added.has(id))
    .map(({ id, source }) => ({
      id,
      source,
      state: "new" as const,
      createdAt: undefined,
      wraps: nothing,
      ...rest(id),
    }));
  return [...known, ...waiting];
}

const nothing: Wraps = { dataKeys: 0, signingKeys: 0, auditKeys: 0 };

function stateOf(text: string): KeyState {
  return text === "active" || text === "retired" ? text : "known";
}
