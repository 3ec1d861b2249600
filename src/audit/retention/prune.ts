import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import { damagedSentence, readEvent } from "../chain/read-event.js";
import type { AuditSealer } from "../chain/sealer.js";
import type { AuditSigningKey } from "../chain/signing-key.js";
import { signStatement } from "../chain/statement.js";
import { installationId, lastStatement, sealedEvents } from "../chain/store.js";
import type { AuditWriter } from "../record.js";
import { cutEvents, partsOfCut } from "./store.js";

/** Events that are read at a time. */
const pageSize = 1_000;

/**
 * How far a chain may be cut: up to the last position in front of the first event that is not older than `before`. When an
 * event was, its sealed bytes say: the column beside them can be altered without breaking the chain.
 * @param limit how many events behind `after` are looked at
 * @returns `through`, which is `after` when there is nothing older right behind it; and a sentence about the event behind
 *   it when that is damaged. It is kept: of what it was, nothing else is left
 */
async function lastBefore(
  prisma: PrismaClient,
  chain: string,
  { after, limit, before }: { after: number; limit: number; before: Date },
): Promise<{ through: number; damaged: string | undefined }> {
  let through = after;
  while (through < after + limit) {
    const page = { after: through, through: after + limit, limit: pageSize };
    const events = await sealedEvents(prisma, chain, page);
    for (const sealed of events) {
      const { event, damage } = readEvent(sealed.event);
      if (event === undefined) return { through, damaged: damagedSentence({ ...sealed, chain, damage }) };
      const atMs = typeof event.at === "string" ? Date.parse(event.at) : Number.NaN;
      if (!(atMs < before.getTime())) return { through, damaged: undefined };
      through = sealed.position;
    }
    if (events.length === 0) break;
  }
  return { through, damaged: undefined };
}

/** Events that go in one transaction, with a signed cut of their own. */
const stepSize = 5_000;

type Deps = { prisma: PrismaClient; sealer: AuditSealer; signingKey: AuditSigningKey; audit: AuditWriter };

type Pruned = { removed: number; through: number };

/**
 * Drops sealed events that are older than `before`, from the beginning of the chain up to the first that is not. Each
 * step writes its signed cuts, its event and removes what they cover, in one transaction: it can be stopped anywhere.
 * @returns how many events went, and the position of the last; `undefined` when none did. `damaged`: a sentence about the
 *   event in front of which it stopped, though that may be older
 */
export async function pruneAudit(
  deps: Deps,
  before: Date,
  onProgress: (removed: number) => void = () => undefined,
): Promise<{ pruned: Pruned | undefined; damaged: string | undefined }> {
  const { prisma, sealer } = deps;
  await sealer.seal();
  const installation = await installationId(prisma);
  if (installation === undefined || !(await sealer.checkpoint(installation)))
    return { pruned: undefined, damaged: undefined };
  let pruned: Pruned | undefined;
  for (;;) {
    const { step, damaged } = await pruneStep(deps, installation, before);
    if (step === undefined) return { pruned, damaged };
    pruned = { removed: (pruned?.removed ?? 0) + step.removed, through: step.through };
    onProgress(pruned.removed);
  }
}

async function pruneStep(
  { prisma, signingKey, audit }: Deps,
  installation: string,
  before: Date,
): Promise<{ step: Pruned | undefined; damaged: string | undefined }> {
  const after = (await lastStatement(prisma, installation, "cut"))?.position ?? 0;
  const { through, damaged } = await lastBefore(prisma, installation, { after, limit: stepSize, before });
  if (through === after) return { step: undefined, damaged };
  const signer = await signingKey.current(installation);
  const at = databaseNow();
  const cuts = (await partsOfCut(prisma, installation, { after, through })).map((part) => ({
    part,
    signed: signStatement(signer, {
      type: "factory-secrets.audit-cut.v1",
      at: at.toISOString(),
      before: before.toISOString(),
      installation,
      chain: part.chain,
      position: part.position,
      hash: part.hash.toString("hex"),
    }),
  }));
  const removed = await prisma.$transaction(async (transaction) => {
    const count = await cutEvents(transaction, cuts);
    const body = { action: "audit.pruned", before: before.toISOString(), position: through, count } as const;
    const actor = { kind: "service", id: "", name: "factory-secrets" } as const;
    await audit.writeWith(transaction, [{ at, outcome: "allowed", actor, body }]);
    return count;
  });
  return { step: { removed, through }, damaged };
}
