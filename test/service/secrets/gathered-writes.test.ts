import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeChangeSets } from "../../../src/secrets/store.js";
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
        if_version: null,
        forced: false,
        purged: false,
        data_key_id: null,
        ciphertext: null,
      } as const),
      ...({
        fingerprint: null,
        fingerprint_key_id: null,
        restored_from: null,
        if_destroyed: null,
        description: null,
        expires_at: null,
        deliver_to_jobs: false,
        judged: true,
        if_deliver_to_jobs: null,
      } as const),
    });
    for (const name of ["a", "b"]) {
      await service.as(service.operatorToken).put(`/v1/factories/${factory.name}/secrets/${name}`).send({ value: "v" });
    }
    const rows = await prisma.secret.findMany({ where: { factoryId: factory.id }, orderBy: { name: "asc" } });
    const sets = rows.map(({ id, name, nextVersion }) => ({
      ...common,
      factoryId: factory.id,
      changes: [{ ...deletion(name), secret_id: id, version: nextVersion }],
    }));
    const limits = { maxSecrets: 10 };
    expect(await writeChangeSets(prisma, limits, sets)).toEqual([false, false]);
    expect(await prisma.secret.count({ where: { factoryId: factory.id, deletedAt: null } })).toBe(2);
    expect(await writeChangeSets(prisma, limits, sets.slice(0, 1))).toEqual([true]);
    expect(await prisma.secret.count({ where: { factoryId: factory.id, deletedAt: null } })).toBe(1);
  });
});
