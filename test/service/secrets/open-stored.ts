import { AuditWriter } from "../../../src/audit/record.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";
import { openSecretVersion } from "../../../src/secrets/open-secret.js";
import type { TestService } from "../../support/test-service.js";

type Place = { factory: { id: string; name: string }; name: string; version?: number };

/**
 * Opens what is stored of a secret as the broker would, since no reply ever shows a value: the current version, or
 * the one that is named. `undefined` when it is gone.
 */
export async function openStored(service: TestService, place: Place): Promise<Buffer | undefined> {
  const { prisma, pool } = service.database;
  const { factory, name } = place;
  const row = await prisma.secret.findFirst({ where: { factoryId: factory.id, name, deletedAt: null } });
  if (!row) return undefined;
  const keys = await openKeyRing(prisma, { kind: "setting", text: service.key });
  const deps = {
    prisma,
    audit: new AuditWriter(pool),
    factoryKeys: new FactoryKeys({ prisma, keys }),
    onOpenFailed: () => undefined,
  };
  const actor = { kind: "service", id: "", name: "test" } as const;
  const secret = { id: row.id, name, version: place.version ?? row.currentVersion };
  return (await openSecretVersion(deps, { factory, actor, secret }))?.revealBytes();
}
