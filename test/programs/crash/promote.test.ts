import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { killAtLock } from "./kill-at-lock.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";

const name = "acme";
const path = `/v1/factories/${name}`;
const config = "- {type: generic, url: ghcr.io, generic_secret_name: creds}\n";

let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
  await service.createFactory(name);
  const operator = () => service.as(service.operatorToken);
  const value = () => ({ value: `ci:${secretValue()}` });
  await operator().put(`${path}/secrets/creds`).send(value()).expect(201);
  await operator().put(`${path}/config`).set("Content-Type", "application/yaml").send(config).expect(201);
  await operator().put(`${path}/secrets/creds?stage=true`).send(value()).expect(200);
});
afterEach(endServerProcesses);
afterAll(() => service.close());

/** All that a promotion changes. */
async function state(): Promise<unknown> {
  const { rows } = await service.database.pool.query(
    `SELECT s.current_version, s.previous_version, f.generation,
       ARRAY(SELECT version || ' ' || staged FROM secret_versions WHERE secret_id = s.id ORDER BY version) AS versions,
       (SELECT count(*)::int FROM audit_events WHERE action = 'secret.promoted') AS promoted
     FROM secrets AS s JOIN factories AS f ON f.id = s.factory_id`,
  );
  return rows[0];
}

describe("a service that is killed in the middle of a promotion", () => {
  // In the order in which it writes.
  it.each([
    ["when it takes the version off the stage", "SELECT FROM secret_versions FOR UPDATE"],
    ["when it raises the generation", "SELECT FROM factories FOR UPDATE"],
    ["when it writes its event", "LOCK TABLE audit_events IN EXCLUSIVE MODE"],
  ])(
    "%s leaves the version before current, as if nobody had asked",
    async (_step, lock) => {
      const before = await state();
      const settings = { DATABASE_URL: service.databaseUrl, FACTORY_SECRETS_KEY: service.key };
      const server = startServerProcess({ ...settings, FACTORY_SECRETS_LOG_LEVEL: "warn" });
      const url = await server.listening();
      await killAtLock({ databaseUrl: service.databaseUrl, lock, server }, () => {
        const headers = { "OSF-TOKEN": service.operatorToken, "Content-Type": "application/json" };
        const sent = { method: "POST", headers, body: "{}" };
        void fetch(`${url}${path}/secrets/creds/versions/2:promote`, sent).catch(() => undefined);
      });
      expect(await state()).toEqual(before);
      expect(before).toMatchObject({ current_version: 1, versions: ["1 false", "2 true"], promoted: 0 });
    },
    60_000,
  );

  it("and promotes it once when it is asked again", async () => {
    await service.as(service.operatorToken).post(`${path}/secrets/creds/versions/2:promote`).send({}).expect(200);
    const versions = ["1 false", "2 false"];
    expect(await state()).toMatchObject({ current_version: 2, previous_version: 1, versions, promoted: 1 });
  });
});
