import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { openStored } from "./open-stored.js";

const writers = 50;
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

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe.each([
  ["one replica", () => [service]],
  ["two replicas", () => [service, replica]],
] as const)("fifty writers on one name through %s", (_title, replicas) => {
  it("lose nothing: every acknowledged write is a version, in one order", async () => {
    const factory = await service.createFactory();
    const values = upTo(writers).map(() => secretValue());
    const through = replicas();
    const replies = await Promise.all(
      values.map((value, index) => {
        const agent = (through[index % through.length] ?? service).as(service.operatorToken);
        return agent.put(`/v1/factories/${factory.name}/secrets/a`).send({ value });
      }),
    );
    expect(replies.map(({ status }) => status).filter((status) => status !== 200)).toEqual([201]);
    const versions: number[] = replies.map(({ body }) => body.version);
    expect(versions.toSorted((a, b) => a - b)).toEqual(upTo(writers));
    await expectNewestTenKept(factory, new Map(versions.map((version, index) => [version, values[index]])));
    await expectOneAuditRowEach(factory.id);
  });
});

async function expectNewestTenKept(factory: { id: string; name: string }, written: Map<number, string | undefined>) {
  for (const version of upTo(writers)) {
    const bytes = await openStored(service, { factory, name: "a", version });
    expect(bytes?.toString()).toBe(version > writers - 10 ? written.get(version) : undefined);
  }
}

async function expectOneAuditRowEach(factoryId: string) {
  const { rows } = await service.database.pool.query<{ event: Buffer }>(
    "SELECT event FROM audit_events WHERE factory_id = $1 AND action = 'secret.written'",
    [factoryId],
  );
  const versions: number[] = rows.map(({ event }) => JSON.parse(event.toString()).secretVersion);
  expect(versions.toSorted((a, b) => a - b)).toEqual(upTo(writers));
}

describe("fifty batches with names in common, through two replicas", () => {
  it("all succeed, deadlock nobody, and leave each name at the last of its versions", async () => {
    const factory = await service.createFactory();
    const names = upTo(8).map((index) => `n${index}`);
    // Each batch takes another run of the names, half of them backwards: the recipe for a deadlock.
    const batches = upTo(writers).map((index) => {
      const run = upTo(4).map((step) => names[(index + step) % names.length] ?? "");
      return index % 2 === 0 ? run : run.toReversed();
    });
    const replies = await Promise.all(
      batches.map((run, index) => {
        const secrets = run.map((name) => ({ name, value: secretValue() }));
        const agent = (index % 3 === 0 ? replica : service).as(service.operatorToken);
        return agent.post(`/v1/factories/${factory.name}/secrets:batch`).send({ secrets });
      }),
    );
    expect(replies.map(({ status, body }) => (status === 200 ? 200 : body))).toEqual(upTo(writers).map(() => 200));
    for (const name of names) {
      const versions: number[] = replies.flatMap(({ body }) =>
        body.secrets
          .filter((one: { name: string }) => one.name === name)
          .map((one: { version: number }) => one.version),
      );
      expect(versions.toSorted((a, b) => a - b)).toEqual(upTo(versions.length));
    }
  });

  it("come out the same when secrets are deleted and made again meanwhile", async () => {
    const factory = await service.createFactory();
    const path = `/v1/factories/${factory.name}/secrets`;
    const put = (through: TestService) =>
      through.as(service.operatorToken).put(`${path}/a`).send({ value: secretValue() });
    const remove = (through: TestService) => through.as(service.operatorToken).delete(`${path}/a`);
    const replies = await Promise.all(
      upTo(40).map((index) => {
        const through = index % 2 === 0 ? service : replica;
        return index % 5 === 0 ? remove(through) : put(through);
      }),
    );
    const created = replies.filter(({ status }) => status === 201).length;
    const deleted = replies.filter(({ status }) => status === 204).length;
    expect(replies.map(({ status }) => status).filter((status) => ![200, 201, 204, 404].includes(status))).toEqual([]);
    const { body } = await service.as(service.operatorToken).get(path);
    expect(body.items).toHaveLength(created - deleted);
    const count = await service.database.prisma.factory.findUnique({ where: { id: factory.id } });
    expect(count?.secretCount).toBe(created - deleted);
  });
});
