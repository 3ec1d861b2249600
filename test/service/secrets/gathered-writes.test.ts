import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeChangeSets } from "../../../src/secrets/write-statement.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
let replica: TestService;
beforeAll(async () => {
  service = await startTestService();
  replica = await startTestService({}, service);
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

const names = Array.from({ length: 30 }, (_, index) => `secret_${index}`);

describe("a write by one replica", () => {
  const config = "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: creds\n";
  const other = config.replace("creds", "other");

  it("is judged by what another one has changed, whichever way it remembers the secret", async () => {
    const factory = await service.createFactory();
    const path = `/v1/factories/${factory.name}`;
    const [here, elsewhere] = [service.as(service.operatorToken), replica.as(service.operatorToken)];
    const put = (name: string) => here.put(`${path}/secrets/${name}`).send({ value: `u:${secretValue()}` });
    const publish = (text: string) =>
      elsewhere.put(`${path}/config`).set("Content-Type", "application/yaml").send(text);
    expect([(await put("creds")).status, (await put("other")).status, (await put("creds")).status]).toEqual([
      201, 201, 200,
    ]);
    expect((await publish(config)).status).toBe(201);
    expect((await here.delete(`${path}/secrets/creds`)).body.code).toBe("secret-in-use");
    expect((await publish(other)).status).toBe(200);
    // The other one is still remembered as free, and this one as named.
    expect((await here.delete(`${path}/secrets/other`)).body.code).toBe("secret-in-use");
    expect((await here.delete(`${path}/secrets/creds`)).status).toBe(204);
  });
});

describe("writes at the same time", () => {
  it("have each its own outcome, whatever becomes of those they are gathered with", async () => {
    const factory = await service.createFactory();
    const agent = service.as(service.operatorToken);
    const put = (name: string) => agent.put(`/v1/factories/${factory.name}/secrets/${name}`);
    const writeAll = async () => Promise.all(names.map((name) => put(name).send({ value: secretValue() })));
    await writeAll();
    // Every third was changed through another replica meanwhile, and every fifth writer holds to version 1.
    const through = replica.as(service.operatorToken);
    const elsewhere = names.filter((_, index) => index % 3 === 0);
    await Promise.all(
      elsewhere.map((name) =>
        through.put(`/v1/factories/${factory.name}/secrets/${name}`).send({ value: secretValue() }),
      ),
    );
    const replies = await Promise.all(
      names.map((name, index) => {
        const request = put(name).send({ value: secretValue() });
        return index % 5 === 0 ? request.set("If-Match", '"1"') : request;
      }),
    );
    const expected = names.map((_, index) => {
      if (index % 3 !== 0) return [200, 2];
      return index % 5 === 0 ? [412, undefined] : [200, 3];
    });
    expect(replies.map(({ status, body }) => [status, body.version])).toEqual(expected);
  });

  it("a statement of several sets does nothing of one that would change token answers", async () => {
    const factory = await service.createFactory();
    const { prisma } = service.database;
    const common = { at: new Date(), actor: { kind: "service", id: "", name: "test" }, audit: [] } as const;
    const deletion = (name: string) => ({
      ...({
        op: "delete",
        name,
        forced: false,
        purged: false,
        data_key_id: null,
        ciphertext: null,
      } as const),
      ...({
        fingerprint: null,
        fingerprint_key_id: null,
        restored_from: null,
        description: null,
        expires_at: null,
        deliver_to_jobs: false,
        judged_by: null,
      } as const),
    });
    for (const name of ["a", "b"]) {
      await service.as(service.operatorToken).put(`/v1/factories/${factory.name}/secrets/${name}`).send({ value: "v" });
    }
    const rows = await prisma.secret.findMany({ where: { factoryId: factory.id }, orderBy: { name: "asc" } });
    const sets = rows.map(({ id, name, nextVersion }) => ({
      ...common,
      factoryId: factory.id,
      changes: [
        {
          ...deletion(name),
          secret_id: id,
          version: nextVersion,
          seen_current: 1,
          seen_destroyed: 0,
          seen_named: false,
          seen_deliver_to_jobs: false,
        },
      ],
    }));
    const limits = { maxSecrets: 10 };
    expect(await writeChangeSets(prisma, limits, sets)).toEqual(["changed", "changed"]);
    expect(await prisma.secret.count({ where: { factoryId: factory.id, deletedAt: null } })).toBe(2);
    expect(await writeChangeSets(prisma, limits, sets.slice(0, 1))).toEqual(["written"]);
    expect(await prisma.secret.count({ where: { factoryId: factory.id, deletedAt: null } })).toBe(1);
  });
});
