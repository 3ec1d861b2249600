import { openSecret } from "../../../src/crypto/envelope.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { openDatabase } from "../../../src/db/database.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";
import type { TestService } from "../test-service.js";

/** What the database holds of one factory, read past the service. */
export type StoredValues = {
  /**
   * The current version of each name, and the highest that the audit tells of (if it tells of every one before it just
   * once), of one moment: a backend of the killed server may still be ending its last statement.
   */
  versions(): Promise<{ current: Map<string, number>; audited: Map<string, number> }>;
  /** The value of one version, opened; `undefined` when there is no such version. */
  open(name: string, version: number): Promise<string | undefined>;
  issuedRequestIds(): Promise<Set<string>>;
  close(): Promise<void>;
};

export async function createStoredValues(
  service: Pick<TestService, "databaseUrl" | "key">,
  factoryId: string,
): Promise<StoredValues> {
  const database = openDatabase({ url: service.databaseUrl, connections: 4, onError: () => undefined });
  const keys = await openKeyRing(database.prisma, { kind: "setting", text: service.key });
  const factoryKeys = new FactoryKeys({ prisma: database.prisma, keys });
  return {
    async versions() {
      const { rows } = await database.pool.query<{ of: string; name: string; version: number }>(
        `SELECT 'current' AS of, name, current_version AS version FROM secrets
         WHERE factory_id = $1 AND deleted_at IS NULL
         UNION ALL
         SELECT 'audited', secret, max((convert_from(event, 'UTF8')::jsonb ->> 'secretVersion')::int) AS version
         FROM audit_events WHERE factory_id = $1 AND action = 'secret.written' GROUP BY secret
         HAVING count(*) = max((convert_from(event, 'UTF8')::jsonb ->> 'secretVersion')::int)
            AND count(*) = count(DISTINCT convert_from(event, 'UTF8')::jsonb ->> 'secretVersion')
         ORDER BY name`,
        [factoryId],
      );
      const versionsOf = (of: string) =>
        new Map(rows.filter((row) => row.of === of).map(({ name, version }) => [name, version]));
      return { current: versionsOf("current"), audited: versionsOf("audited") };
    },
    async open(name, version) {
      const { rows } = await database.pool.query<{ id: string; data_key_id: string; ciphertext: Buffer }>(
        `SELECT s.id, v.data_key_id, v.ciphertext FROM secrets s JOIN secret_versions v ON v.secret_id = s.id
         WHERE s.factory_id = $1 AND s.name = $2 AND v.version = $3`,
        [factoryId, name, version],
      );
      const [row] = rows;
      if (!row) return undefined;
      const key = await factoryKeys.find(factoryId, row.data_key_id);
      if (!key) throw new Error("no data key opens this version");
      return openSecret(key, { factoryId, secretId: row.id, version }, row.ciphertext).toString("utf8");
    },
    async issuedRequestIds() {
      const sql = `SELECT convert_from(event, 'UTF8')::jsonb ->> 'requestId' AS id FROM audit_events
        WHERE factory_id = $1 AND action = 'registry-token.issued'`;
      const { rows } = await database.pool.query<{ id: string }>(sql, [factoryId]);
      return new Set(rows.map(({ id }) => id));
    },
    close: () => database.close(),
  };
}
