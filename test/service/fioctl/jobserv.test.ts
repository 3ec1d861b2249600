import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "../secrets/open-stored.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

async function newFactory() {
  const factory = await service.createFactory();
  const path = `/projects/${factory.name}/lmp/triggers/`;
  const operator = service.as(service.operatorToken);
  const names = async (query = ""): Promise<string[]> => {
    const { body } = await operator.get(`${path}${query}`).expect(200);
    return body.data.flatMap(({ secrets }: { secrets: { name: string }[] }) => secrets.map(({ name }) => name));
  };
  return { factory, path, operator, names };
}

const one = (name: string, value: string | null = secretValue()) => ({ type: "simple", secrets: [{ name, value }] });

describe("a trigger, as JobServ has it", () => {
  it("takes a POST although one exists, and merges it", async () => {
    const { path, operator, names } = await newFactory();
    const first = await operator.post(path).send(one("a"));
    expect([first.status, first.body]).toEqual([201, { status: "success", data: {} }]);
    await operator.post(path).send(one("b")).expect(201);
    expect(await names()).toEqual(["a", "b"]);
  });

  it("refuses a request that names no secret", async () => {
    const { path, operator, names } = await newFactory();
    for (const body of [undefined, {}, { type: "simple" }, { secrets: [] }, { type: "simple", owner: "someone" }]) {
      expectProblem(await operator.post(path).send(body), "invalid-request");
      expectProblem(await operator.patch(`${path}1/`).send(body), "invalid-request");
    }
    expect(await names()).toEqual([]);
  });

  it("takes the secrets as plain members too, beside the members that are none", async () => {
    const { factory, path, operator, names } = await newFactory();
    const value = secretValue();
    const others = {
      type: "simple",
      owner: "someone",
      definition_repo: "https://example.com",
      definition_file: "x.yml",
    };
    await operator
      .post(path)
      .send({ ...others, githubtok: value, gone: null })
      .expect(201);
    expect(await names()).toEqual(["githubtok"]);
    expect((await openStored(service, { factory, name: "githubtok" }))?.toString()).toBe(value);
  });

  it("refuses plain members that are no secrets, and repeats neither name nor value", async () => {
    const { path, operator } = await newFactory();
    const value = secretValue();
    const reply = await operator.post(path).send({ [`bad ${value}`]: secretValue() });
    const { invalid } = expectProblem(reply, "invalid-request");
    expect(invalid).toEqual([{ at: "/secrets/0/name", reason: expect.stringMatching(/not allowed/) }]);
    const nested = await operator.post(path).send({ a: { value } });
    expect(expectProblem(nested, "invalid-request").invalid).toMatchObject([{ at: "/secrets/0/value" }]);
  });

  it("answers 200 to the deletion of what does not exist", async () => {
    const { path, operator, names } = await newFactory();
    await operator.post(path).send(one("a")).expect(201);
    await operator.patch(`${path}1/`).send(one("b", null)).expect(200);
    expect(await names()).toEqual(["a"]);
  });

  it("is gone with its last secret", async () => {
    const { path, operator } = await newFactory();
    await operator.post(path).send(one("a")).expect(201);
    await operator.patch(`${path}1/`).send(one("a", null)).expect(200);
    expect((await operator.get(path)).body.data).toEqual([]);
  });

  it("is filtered by ?type", async () => {
    const { path, operator, names } = await newFactory();
    await operator.post(path).send(one("a")).expect(201);
    expect(await names("?type=simple")).toEqual(["a"]);
    expect(await names("?type=git_poller")).toEqual([]);
  });

  it("answers with and without the last slash", async () => {
    const { path, operator, names } = await newFactory();
    const bare = path.slice(0, -1);
    await operator.post(bare).send(one("a")).expect(201);
    await operator.patch(`${bare}/1`).send(one("b")).expect(200);
    await operator.patch(`${bare}/1/`).send(one("c")).expect(200);
    expect((await operator.get(bare)).body).toEqual((await operator.get(path)).body);
    expect(await names()).toEqual(["a", "b", "c"]);
  });

  it("has the id 1, and there is no other", async () => {
    const { path, operator } = await newFactory();
    for (const id of ["0", "2", "01", "x"])
      expectProblem(await operator.patch(`${path}${id}/`).send(one("a")), "not-found");
  });

  it.each([{ type: "git_poller" }, { type: "simple", secrets: "a" }, { type: "simple", secrets: [{ name: "a" }] }])(
    "refuses %j",
    async (body) => {
      const { path, operator } = await newFactory();
      expectProblem(await operator.post(path).send(body), "invalid-request");
    },
  );

  it("writes all names or none", async () => {
    const { path, operator, names } = await newFactory();
    const secrets = [
      { name: "a", value: secretValue() },
      { name: "b", value: "x".repeat(64 * 1024 + 1) },
    ];
    const { detail } = expectProblem(await operator.post(path).send({ type: "simple", secrets }), "invalid-request");
    expect(detail).toBe('/secrets/1/value: the value of "b" has 65537 bytes; the most is 65536');
    expect(await names()).toEqual([]);
  });

  it("refuses to delete what an entry names, with the sentence of the API, and then writes nothing else either", async () => {
    const { factory, path, operator, names } = await newFactory();
    await operator
      .post(path)
      .send(one("a", `user:${secretValue()}`))
      .expect(201);
    const entry = { type: "generic", url: "ghcr.io", secretName: "a" };
    await operator.post(`/v1/factories/${factory.name}/registries`).send(entry).expect(201);
    const secrets = [
      { name: "a", value: null },
      { name: "b", value: secretValue() },
    ];
    const refused = expectProblem(await operator.patch(`${path}1/`).send({ secrets }), "secret-in-use");
    const direct = await operator.delete(`/v1/factories/${factory.name}/secrets/a`);
    expect(refused.message).toBe(expectProblem(direct, "secret-in-use").message);
    expect(await names()).toEqual(["a"]);
  });

  it("writes and deletes in one update, with an audit row each", async () => {
    const { factory, path, operator, names } = await newFactory();
    await operator.post(path).send(one("a")).expect(201);
    const secrets = [
      { name: "a", value: null },
      { name: "b", value: secretValue() },
    ];
    await operator.patch(`${path}1/`).send({ type: "simple", id: 1, secrets }).expect(200);
    expect(await names()).toEqual(["b"]);
    const { body } = await operator.get(`/v1/factories/${factory.name}/audit?pageSize=2`);
    const rows = body.items.map(({ action, secret, via }: Record<string, string>) => `${action} ${secret} ${via}`);
    expect(rows.toSorted()).toEqual(["secret.deleted a fioctl", "secret.written b fioctl"]);
  });
});
