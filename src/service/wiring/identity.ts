import { UnknownCallers } from "../../audit/counted-events.js";
import type { AuditWriter } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Database } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { Callers } from "../../identity/callers.js";
import { Devices } from "../../identity/devices/devices.js";
import { type RevocationListReader, RevocationLists } from "../../identity/devices/revocation-lists.js";

import type { AccessTokens } from "../../identity/oauth/access-tokens.js";
import { KeySets } from "../../identity/trust-rules/key-sets.js";
import { Workloads } from "../../identity/trust-rules/workloads.js";
import type { Logger } from "../../observability/log.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { Settings } from "../../settings/settings.js";

/** What the log says when refusals could not be written to the audit. */
export const unrecorded = "refusals could not be recorded";

/** What finds out who is asking. */
export function createIdentity(input: {
  prisma: Database["prisma"];
  generations: Generations;
  withdrawals: Withdrawals;
  settings: Pick<Settings, "devices">;
  outbound: Outbound;
  audit: AuditWriter;
  accessTokens: AccessTokens;
  documents: RevocationListReader;
  log: Logger;
}) {
  const { settings, outbound, audit, accessTokens, log } = input;
  const { prisma, generations, withdrawals } = input;
  const onError = (err: unknown): void => log.error({ err }, unrecorded);
  const keySets = new KeySets({
    outbound,
    nowMs: () => performance.now(),
    onFailure: ({ source, error }) => log.warn({ source, err: error }, "the keys of an issuer could not be fetched"),
  });
  const verification = { keySets, now: databaseNow };
  const workloads = new Workloads({ prisma, generations, audit, onError, ...verification });
  const revocationLists = new RevocationLists(input.documents);
  const ofDevices = { revocationLists, settings: settings.devices };
  const devices = new Devices({ prisma, generations, withdrawals, audit, ...ofDevices, onError });
  const callers = new Callers({ prisma, generations, withdrawals, accessTokens, workloads, devices });
  const unknownCallers = new UnknownCallers({ audit, onError });
  return { keySets, verification, workloads, devices, revocationLists, callers, unknownCallers };
}
