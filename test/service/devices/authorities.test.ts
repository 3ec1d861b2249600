import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { permissions } from "../../../src/core/permissions.js";
import {
  type Issued,
  makeDevice,
  makeIntermediate,
  makeRevocationList,
  makeRoot,
} from "../../support/devices/device-certificates.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const factory = "authorities";
const path = `/v1/factories/${factory}/device-authorities`;
const grants = [{ registry: "ghcr.io", repositories: ["acme/app"], actions: ["pull"] }];

let service: TestService;
let root: Issued;
beforeAll(async () => {
  service = await startTestService();
  await service.createFactory(factory);
  root = await makeRoot("authorities root");
});
afterAll(() => service.close());

const operator = () => service.as(service.operatorToken);
const make = async (parts: Record<string, unknown> = {}, token = service.operatorToken, at = path) =>
  service
    .as(token)
    .post(at)
    .send({ name: randomUUID(), certificates: (await makeRoot()).pem, ...parts });

async function events(id: string) {
  const { body } = await operator().get(`/v1/factories/${factory}/audit`).query({ pageSize: 200 });
  return body.items.filter(({ authority }: { authority?: { id: string } }) => authority?.id === id);
}

describe("a device authority", () => {
  it("is registered, shown, listed, changed and withdrawn, each with its audit event", async () => {
    const intermediate = await makeIntermediate(root);
    const certificates = `${intermediate.pem}\n${root.pem}`;
    const made = await make({ name: "field", certificates, policy: { grants, maxTtlSeconds: 900 } });
    expect(made.status).toBe(201);
    const { id, fingerprint } = made.body;
    expect(made.body).toMatchObject({ name: "field", policy: { grants, maxTtlSeconds: 900 } });
    expect(made.body.subject).toBe("CN=authorities root");
    const { body: shown } = await operator().get(`${path}/${id}`).expect(200);
    expect(shown).toEqual({ ...made.body, certificates, revocationLists: [] });
    expect((await operator().get(path)).body.items).toContainEqual(made.body);
    const changed = await operator().put(`${path}/${id}`).send({ name: "lab", policy: {} }).expect(200);
    expect(changed.body).toMatchObject({ id, name: "lab", policy: {}, fingerprint });
    await operator().delete(`${path}/${id}`).expect(204);
    expectProblem(await operator().get(`${path}/${id}`), "not-found");
    expectProblem(await operator().delete(`${path}/${id}`), "not-found");
    const actions = (await events(id)).map((event: { action: string; fingerprint: string }) => {
      expect(event.fingerprint).toBe(fingerprint);
      return event.action;
    });
    expect(actions.toSorted()).toEqual(["created", "deleted", "updated"].map((verb) => `device-authority.${verb}`));
  });

  it("has a version, which If-Match holds a change and a withdrawal to", async () => {
    const { pem: certificates } = root;
    const other = await service.createFactory();
    const there = `/v1/factories/${other.name}/device-authorities`;
    const made = await make({ certificates }, service.operatorToken, there);
    expect([made.body.version, made.headers.etag]).toEqual([1, '"1"']);
    const at = `${there}/${made.body.id}`;
    const put = (ifMatch: string, name: string) =>
      operator().put(at).set("If-Match", ifMatch).send({ name, policy: {} });
    const changed = await put('"1"', "first");
    expect([changed.status, changed.body.version, changed.headers.etag]).toEqual([200, 2, '"2"']);
    expectProblem(await put("2", "second"), "invalid-request");
    for (const stale of ['"1"', '"9"', 'W/"2"']) {
      expectProblem(await put(stale, "second"), "precondition-failed");
      expectProblem(await operator().delete(at).set("If-Match", stale), "precondition-failed");
    }
    const list = (await makeRevocationList(root, ["4a"])).toString("base64");
    await operator().put(`${at}/revocation-list`).send({ revocationList: list }).expect(200);
    const shown = await operator().get(at);
    expect([shown.body.name, shown.body.version, shown.headers.etag]).toEqual(["first", 3, '"3"']);
    expect((await put("*", "third")).headers.etag).toBe('"4"');
    await operator().delete(at).set("If-Match", '"4"').expect(204);
  });

  it("lets one of two through that change it at once", async () => {
    const { id, version } = (await make()).body;
    const change = (name: string) =>
      operator().put(`${path}/${id}`).set("If-Match", `"${version}"`).send({ name, policy: {} });
    const statuses = (await Promise.all([change(randomUUID()), change(randomUUID())])).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, 412]);
  });

  it("has a name and a root of its own in its factory, and another factory may have the same root", async () => {
    const { pem: certificates } = await makeRoot();
    const name = randomUUID();
    expect((await make({ name, certificates })).status).toBe(201);
    expectProblem(await make({ name }), "already-exists");
    expectProblem(await make({ certificates }), "already-exists");
    const other = await service.createFactory();
    const elsewhere = `/v1/factories/${other.name}/device-authorities`;
    expect((await make({ name, certificates }, service.operatorToken, elsewhere)).status).toBe(201);
  });

  it("is of one factory: another one neither sees nor changes nor withdraws it", async () => {
    const { id } = (await make()).body;
    const other = await service.createFactory();
    const elsewhere = `/v1/factories/${other.name}/device-authorities/${id}`;
    expectProblem(await operator().get(elsewhere), "not-found");
    expectProblem(await operator().put(elsewhere).send({ name: "mine", policy: {} }), "not-found");
    expectProblem(await operator().delete(elsewhere), "not-found");
    await operator().get(`${path}/${id}`).expect(200);
  });

  it("is refused when no device could come by it, with the sentence why", async () => {
    const hour = 3_600_000;
    const expired = await makeRoot("old", {
      notBefore: new Date(Date.now() - 2 * hour),
      notAfter: new Date(Date.now() - hour),
    });
    const leaf = await makeDevice(root, factory);
    const orphan = await makeIntermediate(await makeRoot());
    for (const [certificates, sentence] of [
      ["no certificate", "Send PEM certificates"],
      [leaf.pem, "one self-signed root"],
      [`${root.pem}\n${root.keyPem}`, "private key"],
      [`${root.pem}\n${leaf.pem}`, "is not a CA"],
      [`${root.pem}\n${orphan.pem}`, "signed by none of the bundle"],
      [expired.pem, "has expired"],
    ] as const) {
      expect(expectProblem(await make({ certificates }), "certificate-unsuitable").detail).toContain(sentence);
    }
  });

  it("is made and changed only by who could ask for tokens too", async () => {
    const narrow = permissions.filter((one) => one !== "registry-tokens:issue");
    const { token } = await service.createApiToken(factory, narrow);
    const { id } = (await make()).body;
    expect(expectProblem(await make({}, token), "forbidden").detail).toContain("registry-tokens:issue");
    expectProblem(await service.as(token).put(`${path}/${id}`).send({ name: "wide", policy: {} }), "forbidden");
    await service.as(token).delete(`${path}/${id}`).expect(204);
  });

  it("is one of twenty at most", async () => {
    const other = await service.createFactory();
    const there = `/v1/factories/${other.name}/device-authorities`;
    for (let count = 0; count < 20; count += 1) {
      expect((await make({}, service.operatorToken, there)).status).toBe(201);
    }
    expectProblem(await make({}, service.operatorToken, there), "limit-reached");
  });

  it("goes with its factory, and so do denials", async () => {
    const { id, name } = await service.createFactory();
    const { body } = await make({}, service.operatorToken, `/v1/factories/${name}/device-authorities`);
    const denials = `/v1/factories/${name}/denied-devices`;
    await operator().post(denials).send({ authorityId: body.id, serial: "0a" }).expect(201);
    await operator().post(denials).send({ deviceId: randomUUID() }).expect(201);
    await operator().delete(`/v1/factories/${name}`).expect(204);
    for (const table of ["device_authorities", "denied_devices"]) {
      const sql = `SELECT id FROM ${table} WHERE factory_id = $1`;
      expect((await service.database.pool.query(sql, [id])).rows).toEqual([]);
    }
  });
});
