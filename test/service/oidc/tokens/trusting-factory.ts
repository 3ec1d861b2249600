import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuleTerms } from "../../../../src/identity/trust-rules/contract.js";
import {
  type BrokeredFactory,
  startBrokeredFactory,
  type TokenReply,
} from "../../../support/broker/brokered-factory.js";
import { watched } from "../../../support/leak-watch.js";
import { startTestIssuers, type TestIssuers } from "../../../support/oidc-issuer.js";
import type { TestService } from "../../../support/test-service.js";

export const audience = "https://secrets.example.com";
export const registry = "ghcr.io";

/** A factory with one registry and the issuers that its rules may trust. */
export type TrustingFactory = BrokeredFactory & {
  issuers: TestIssuers;
  /** Writes a rule, whatever the linter would say of it. @returns its id */
  trust(rule: Record<string, unknown> & { issuer: string }, factoryId?: string): Promise<string>;
  distrust(id: string): Promise<void>;
  /** Presents a token as it is, by the name of a factory. */
  present(token: string, factory?: string, service?: TestService): Promise<TokenReply>;
};

/** @param others - further issuers that the service must reach, which the test runs itself */
export async function startTrustingFactory(
  hosts: readonly string[],
  others?: { connectTo: string; caPem: string },
): Promise<TrustingFactory> {
  const issuers = await startTestIssuers(hosts);
  const directory = mkdtempSync(join(tmpdir(), "trusting-factory-"));
  const password = watched("not-a-real-secret-trusting-77c1");
  // Filled in once the stand-ins are there: the service must reach them and the issuers.
  const settings: Record<string, string> = { FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "0" };
  const broker = await startBrokeredFactory((clouds) => {
    const rights = { "acme/app": ["pull"], "acme/base": ["pull"] } as const;
    clouds.docker.addRegistry({ host: registry, users: { ci: { password, rights } } });
    settings.FACTORY_SECRETS_CONNECT_TO = [clouds.connectTo, issuers.connectTo, others?.connectTo ?? ""].join(",");
    settings.FACTORY_SECRETS_CA_FILE = join(directory, "ca.pem");
    writeFileSync(settings.FACTORY_SECRETS_CA_FILE, [clouds.caPem, issuers.caPem, others?.caPem ?? ""].join("\n"));
  }, settings);
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putConfig(
    `container_registries:\n- type: generic\n  url: ${registry}\n  generic_secret_name: ghcr_creds\n`,
  );
  const { pool } = broker.service.database;
  const raise = (id: string) => pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [id]);
  return {
    ...broker,
    issuers,
    async trust({ issuer, name = randomUUID(), ...terms }, factoryId = broker.factory.id) {
      const id = randomUUID();
      const rule = RuleTerms.parse({
        audience,
        conditions: [{ claim: "project_id", equals: "42" }],
        grants: [{ registry, repositories: ["acme/app"] }],
        ...terms,
      });
      await pool.query(
        `INSERT INTO trust_rules (id, factory_id, name, issuer, rule, created_by_kind, created_by_id, created_by_name)
         VALUES ($1, $2, $3, $4, $5, 'service', '', 'test')`,
        [id, factoryId, name, issuer, JSON.stringify(rule)],
      );
      await raise(factoryId);
      return id;
    },
    async distrust(id) {
      const { rows } = await pool.query<{ factory_id: string }>(
        "DELETE FROM trust_rules WHERE id = $1 RETURNING factory_id",
        [id],
      );
      await raise(rows[0]?.factory_id ?? "");
    },
    async present(token, factory = broker.factory.name, service = broker.service) {
      // What no header can carry travels as base64, as fioctl sends a token.
      const bearer = /^[\x21-\x7e]+$/.test(token) ? token : Buffer.from(token, "utf8").toString("base64");
      const agent = service.as(undefined).set("Authorization", `Bearer ${bearer}`);
      return agent.post(`/v1/factories/${factory}/registry-tokens`).send({});
    },
    async close() {
      await broker.close();
      await issuers.close();
      rmSync(directory, { recursive: true });
    },
  };
}
