import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { roundsOf } from "../../support/rounds.js";
import { type ConfigOverHttp, startConfigOverHttp } from "./config-over-http.js";

const head = "# the head\r\nnotify: { email: a@example.com }\r\n\r\ncontainer_registries:\r\n";
const ghcr = "  - type: generic   # ours\r\n    url: ghcr.io\r\n    generic_secret_name: ghcr_creds\r\n";
const acr = "  - type: azure\r\n    azure_principal_secret_name: azprincipal\r\n    url: example.azurecr.io\r\n";
const tail = "\r\nlmp:\r\n    preferred: 'x'   # the tail\r\n";

let http: ConfigOverHttp;
const asOperator = () => http.service.as(http.operator);
beforeAll(async () => {
  http = await startConfigOverHttp();
  await http.putSecrets("ghcr_creds", "azprincipal", "aws_creds");
});
afterAll(() => http.close());
beforeEach(async () => {
  await http.put(http.operator, `${head}${ghcr}${acr}${tail}`);
});
const document = async (): Promise<string> => (await http.document()).toString("utf8");
const quay = { type: "generic", url: "quay.io", secretName: "ghcr_creds" };

describe("the registries", () => {
  it("are listed in the order of the document, with the config's version", async () => {
    const reply = await asOperator().get(`${http.path}/registries`);
    expect(reply.body.items).toEqual([
      { id: "ghcr.io", type: "generic", secretName: "ghcr_creds", url: "ghcr.io" },
      { id: "example.azurecr.io", type: "azure", secretName: "azprincipal", url: "example.azurecr.io" },
    ]);
    expect(reply.headers.etag).toMatch(/^"\d+"$/);
    const one = await asOperator().get(`${http.path}/registries/example.azurecr.io`);
    expect(one.body).toEqual(reply.body.items[1]);
    expect((await asOperator().get(`${http.path}/registries/nowhere.io`)).status).toBe(404);
  });

  it("are added to after the others, and nothing else of the document changes", async () => {
    const reply = await asOperator().post(`${http.path}/registries`).send(quay);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ entry: { id: "quay.io", url: "quay.io" }, warnings: [] });
    const text = await document();
    expect(text.startsWith(`${head}${ghcr}${acr}`)).toBe(true);
    expect(text.endsWith(tail)).toBe(true);
    expect(text.replaceAll("\r\n", "")).not.toContain("\n");
    const twice = await asOperator().post(`${http.path}/registries`).send(quay);
    expect(twice.body).toMatchObject({ status: 409, code: "already-exists" });
  });

  it("are changed in place, every byte outside the entry kept, and a new host gives a new id", async () => {
    const change = { type: "generic", url: "quay.io", secretName: "ghcr_creds" };
    const reply = await asOperator().put(`${http.path}/registries/ghcr.io`).send(change);
    expect(reply.body).toMatchObject({ entry: { id: "quay.io" } });
    const text = await document();
    expect(text.startsWith(head)).toBe(true);
    expect(text.endsWith(`${acr}${tail}`)).toBe(true);
    expect((await asOperator().get(`${http.path}/registries/ghcr.io`)).status).toBe(404);
    expect((await asOperator().put(`${http.path}/registries/ghcr.io`).send(change)).status).toBe(404);
  });

  it("are removed with their lines, and nothing else", async () => {
    const reply = await asOperator().delete(`${http.path}/registries/example.azurecr.io`);
    expect(reply.body).toMatchObject({ unchanged: false });
    expect(await document()).toBe(`${head}${ghcr}${tail}`);
    expect((await asOperator().delete(`${http.path}/registries/example.azurecr.io`)).status).toBe(404);
  });

  it("have ids with colons in the path, as they are and escaped", async () => {
    const added = await asOperator()
      .post(`${http.path}/registries`)
      .send({ type: "aws", region: "us-east-2", secretName: "aws_creds" });
    expect(added.body.entry.id).toBe("aws:us-east-2");
    for (const id of ["aws:us-east-2", "aws%3Aus-east-2"]) {
      expect((await asOperator().get(`${http.path}/registries/${id}`)).body).toMatchObject({ type: "aws" });
    }
  });

  it("obey If-Match as the document does", async () => {
    const { headers } = await asOperator().get(`${http.path}/registries`);
    const add = (body: object) =>
      asOperator().post(`${http.path}/registries`).set("If-Match", String(headers.etag)).send(body);
    expect((await add(quay)).status).toBe(201);
    expect((await add({ ...quay, url: "other.io" })).status).toBe(412);
  });

  it("edited by many at once lose no edit", async () => {
    const urls = Array.from({ length: 4 }, (_, n) => `r${n}.example.com`);
    const replies = await Promise.all(
      urls.map((url) =>
        asOperator()
          .post(`${http.path}/registries`)
          .send({ ...quay, url }),
      ),
    );
    expect(replies.map(({ status }) => status)).toEqual(urls.map(() => 201));
    const list = await asOperator().get(`${http.path}/registries`);
    expect(list.body.items.map(({ id }: { id: string }) => id).sort()).toEqual([
      "example.azurecr.io",
      "ghcr.io",
      ...urls,
    ]);
    expect((await document()).startsWith(`${head}${ghcr}${acr}`)).toBe(true);
  });

  it.each([
    ["a secret that does not exist", { ...quay, secretName: "nobody" }, 422, "invalid-config"],
    ["a url with a scheme", { ...quay, url: "https://quay.io" }, 400, "invalid-request"],
    ["a field of another type", { ...quay, region: "us-east-2" }, 400, "invalid-request"],
    ["no type", { url: "quay.io", secretName: "ghcr_creds" }, 400, "invalid-request"],
    [
      "a region that does not fit the host",
      {
        type: "aws",
        url: "123456789012.dkr.ecr.us-east-2.amazonaws.com",
        region: "eu-west-1",
        secretName: "aws_creds",
      },
      400,
      "invalid-request",
    ],
  ])("refuse %s", async (_what, body, status, code) => {
    const before = await document();
    const reply = await asOperator().post(`${http.path}/registries`).send(body);
    expect(reply.body).toMatchObject({ status, code });
    expect(await document()).toBe(before);
  });

  it("can be the first of a factory that has no config", async () => {
    const other = await http.service.createFactory();
    const path = `/v1/factories/${other.name}`;
    await asOperator().put(`${path}/secrets/ghcr_creds`).send({ value: "ci:not-a-real-secret" });
    expect((await asOperator().get(`${path}/registries`)).body.items).toEqual([]);
    expect((await asOperator().post(`${path}/registries`).send(quay)).status).toBe(201);
    expect((await asOperator().get(`${path}/registries`)).body.items).toMatchObject([{ id: "quay.io" }]);
  });
});

describe("a secret that an entry names", () => {
  const inUse = (reply: { body: { message: string } }): string => reply.body.message;
  const wire = (name: string) =>
    asOperator()
      .patch(`/projects/${http.factory.name}/lmp/triggers/1/`)
      .send({ type: "simple", id: 1, secrets: [{ name, value: null }] });

  it("is not deleted, through the API and through fioctl with the same sentence, which names the entries", async () => {
    const refused = await asOperator().delete(`${http.path}/secrets/azprincipal`);
    expect(refused.body).toMatchObject({ status: 409, code: "secret-in-use" });
    expect(inUse(refused)).toContain("example.azurecr.io");
    expect(inUse(refused)).toContain("force=true");
    const throughFioctl = await wire("azprincipal");
    expect(throughFioctl.status).toBe(409);
    expect(inUse(throughFioctl)).toBe(inUse(refused));
    const list = await asOperator().get(`${http.path}/secrets`);
    expect(list.body.items.map(({ name }: { name: string }) => name)).toContain("azprincipal");
  });

  it("is deleted once no entry names it, and with force before", async () => {
    const { status } = await asOperator().delete(`${http.path}/secrets/azprincipal?force=true`);
    expect(status).toBe(204);
    await http.putSecrets("azprincipal");
    expect((await asOperator().delete(`${http.path}/secrets/azprincipal`)).body.code).toBe("secret-in-use");
    await asOperator().delete(`${http.path}/registries/example.azurecr.io`);
    expect((await wire("azprincipal")).status).toBe(200);
    await http.putSecrets("azprincipal");
  });

  it("cannot be flagged for delivery to jobs, and one that is flagged cannot be named", async () => {
    const flag = await asOperator()
      .put(`${http.path}/secrets/ghcr_creds`)
      .send({ value: "not-a-real-secret-x", deliverToJobs: true });
    expect(flag.body).toMatchObject({ status: 409, code: "secret-in-use" });
    await asOperator().put(`${http.path}/secrets/flagged`).send({ value: "not-a-real-secret-y", deliverToJobs: true });
    const named = await asOperator()
      .post(`${http.path}/registries`)
      .send({ ...quay, secretName: "flagged" });
    expect(named.body).toMatchObject({ status: 422, code: "invalid-config" });
    expect(named.body.detail).toContain("deliverToJobs");
  });
});

describe("a secret that is created while a config names it", () => {
  it("is known to the broker as soon as both are answered, whichever came first", async () => {
    const { token } = await http.service.openJob(http.factory.name);
    for (let round = 0; round < roundsOf(20, 100); round += 1) {
      const name = `race_${round}`;
      const url = `race-${round}.example.com`;
      const config = `container_registries:\n- {type: generic, url: ${url}, generic_secret_name: ${name}}\n`;
      const [published, written] = await Promise.all([
        http.put(http.operator, config, { allowMissingSecrets: "true" }),
        asOperator().put(`${http.path}/secrets/${name}`).send({ value: "ci:not-a-real-secret" }),
      ]);
      expect([published.status, written.status]).toEqual([200, 201]);
      // Without repositories nothing is dialled; a secret that the broker did not see would be secret-missing.
      const asked = await http.service.as(token).post(`${http.path}/registry-tokens`).send({ registry: url });
      expect(asked.body).toMatchObject({ code: "repositories-required" });
      const refused = await asOperator().delete(`${http.path}/secrets/${name}`);
      expect(refused.body).toMatchObject({ code: "secret-in-use" });
    }
  });
});
