import { AuditSealer } from "../audit/log/sealer.js";
import { AuditSigningKey } from "../audit/log/signing-key.js";
import type { AuditWriter } from "../audit/record.js";
import { AuditShipper } from "../audit/shipping/shipper.js";
import { createTarget } from "../audit/shipping/targets.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { Database } from "../db/database.js";
import type { Logger } from "../observability/log.js";
import type { Outbound } from "../outbound/outbound.js";
import type { Settings } from "../settings/settings.js";

/** Starts what seals the audit and what ships it; both go on until `close`. */
export function startAuditLog(input: {
  database: Database;
  keys: KeyRing;
  audit: AuditWriter;
  outbound: Outbound;
  settings: Pick<Settings, "auditShipTo"> & { outbound: Pick<Settings["outbound"], "caCertificates"> };
  log: Logger;
  /** The audit is not being sealed, since now. */
  onSealingFailed: () => void;
}) {
  const { database, keys, audit, outbound, settings, log, onSealingFailed } = input;
  const { prisma } = database;
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  const sealer = new AuditSealer({
    prisma,
    signingKey,
    onError: (err) => {
      log.error({ err }, "the audit is not being sealed");
      onSealingFailed();
    },
  });
  const { caCertificates } = settings.outbound;
  const targetDeps = { prisma, outbound, signingKey, stdout: process.stdout, caCertificates };
  const shipper = new AuditShipper({
    prisma,
    targets: settings.auditShipTo.map((one) => createTarget(targetDeps, one)),
    onError: (target, err) => log.warn({ target, err }, "the audit could not be shipped; it is tried again"),
  });
  sealer.start();
  // The name in the settings may be a path or a host, which readers of the metrics must not see.
  const names = new Map(settings.auditShipTo.map(({ id, kind }, at) => [id, `${kind}-${at + 1}`]));
  shipper.start();
  return {
    sealer,
    shippingLag: async () =>
      (await shipper.lag()).map(({ target, events }) => ({ target: names.get(target) ?? "unknown", events })),
    async close() {
      await sealer.close();
      await shipper.close();
    },
  };
}
