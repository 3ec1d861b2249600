import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../../support/broker/brokered-factory.js";
import { secretValue } from "../../../support/leak-watch.js";
import { startTestService } from "../../../support/test-service.js";
import { expectProblem } from "../../http/expect-problem.js";

// These leave in replies, which is what the format is for: the leak watch has its say about logs and the audit below.
const passedOn = "not-a-real-secret-passed-on-5e11";
const deployKey = "not-a-real-secret-deploy-key-90ab";
const binary = Buffer.from([0, 255, 10, 13]).toString("base64");
const passedHost = "passed.example.test";
const config = `container_registries:
- type: generic
  url: ${passedHost}
  generic_secret_name: passed_creds
  passThrough: true
- type: generic
  url: ghcr.io
  generic_secret_name: passed_creds
`;

let broker: BrokeredFactory;
let path: string;
beforeAll(async () => {
  broker = await startBrokeredFactory(
    ({ docker }) => {
      const users = { ci: { password: passedOn, rights: { "acme/base": ["pull"] } } } as const;
      docker.addRegistry({ host: "ghcr.io", users });
      docker.addRegistry({ host: passedHost, auth: "basic", users });
    },
    { FACTORY_SECRETS_PASS_THROUGH_HOSTS: passedHost },
  );
  path = `/v1/factories/${broker.factory.name}`;
  await broker.putSecret("passed_creds", `ci:${passedOn}`);
  await broker.putSecret("unflagged", secretValue("unflagged"));
  await broker.putConfig(config);
  const operator = broker.service.as(broker.service.operatorToken);
  const flagged = { deliverToJobs: true };
  await operator.put(`${path}/secrets/deploy_key`).send({ value: deployKey, ...flagged });
  await operator.put(`${path}/secrets/registry-1`).send({ valueBase64: binary, ...flagged });
});
afterAll(() => broker.close());

type File = { name: string; contentBase64: string };
const askFiles = (token: string, body: Record<string, unknown> = {}) =>
  broker.ask(token, { format: "ci-scripts", allowPartial: true, ...body });
const namesOf = (files: readonly File[]): string[] => files.map(({ name }) => name).sort();
const textOf = (files: readonly File[], name: string): string =>
  Buffer.from(files.find((file) => file.name === name)?.contentBase64 ?? "", "base64").toString("utf8");

describe("a job's /secrets", () => {
  it("hold each registry as generic under a new name, and the flagged secrets", async () => {
    const { token } = await broker.openJob();
    const reply = await askFiles(token);
    expect(reply.status).toBe(200);
    expect(reply.headers["cache-control"]).toBe("no-store");
    const files: File[] = reply.body.files;
    expect(namesOf(files)).toEqual(["container-registries", "deploy_key", "registry-1", "registry-2"]);
    expect(JSON.parse(textOf(files, "container-registries"))).toEqual([
      { type: "generic", url: passedHost, generic_secret_name: "registry-2" },
    ]);
    expect(textOf(files, "registry-2")).toBe(`ci:${passedOn}`);
    expect(textOf(files, "deploy_key")).toBe(deployKey);
    expect(files.find(({ name }) => name === "registry-1")?.contentBase64).toBe(binary);
    expect(JSON.stringify(reply.body)).not.toContain("passed_creds");
  });

  it("say of each registry that they cannot hold why not, and are refused as a whole where that is not allowed", async () => {
    const { token } = await broker.openJob({
      grants: [{ registry: "ghcr.io", repositories: ["acme/base"] }, { registry: passedHost }],
    });
    const partial = await askFiles(token);
    expect(partial.body.failures).toEqual([
      { registry: "ghcr.io", code: "not-representable", message: expect.stringContaining("ci-scripts cannot carry") },
    ]);
    const refused = await askFiles(token, { allowPartial: false });
    expectProblem(refused, "not-representable");
    expect(refused.body.failures).toEqual(partial.body.failures);
  });

  it("hold no secrets for a job with grants, unless it was opened for them", async () => {
    const grants = [{ registry: passedHost }];
    const narrow = await broker.openJob({ grants });
    expect(namesOf((await askFiles(narrow.token)).body.files)).toEqual(["container-registries", "registry-1"]);
    const wide = await broker.openJob({ grants, deliverSecrets: true });
    expect(namesOf((await askFiles(wide.token)).body.files)).toContain("deploy_key");
    const without = await broker.openJob({ deliverSecrets: false });
    expect(namesOf((await askFiles(without.token)).body.files)).not.toContain("deploy_key");
  });

  it("hold no secrets for a person: an operator's and an API token's show registries alone", async () => {
    const { token } = await broker.service.createApiToken(broker.factory.name, ["registry-tokens:issue"]);
    for (const one of [token, broker.service.operatorToken]) {
      expect(namesOf((await askFiles(one)).body.files)).toEqual(["container-registries", "registry-1"]);
    }
  });

  it("are audited secret by secret, and gone with the job on every replica", async () => {
    const replica = await startTestService(broker.environment, broker.service);
    try {
      const job = await broker.openJob();
      const before = (await broker.events("secret.delivered")).length;
      expect((await broker.ask(job.token, { format: "ci-scripts", allowPartial: true }, replica)).status).toBe(200);
      const rows = (await broker.events("secret.delivered")).slice(before);
      expect(rows).toMatchObject([
        { secret: "deploy_key", secretVersion: 1, actor: { kind: "job", id: job.id } },
        { secret: "registry-1", secretVersion: 1, actor: { kind: "job", id: job.id } },
      ]);
      const kept = JSON.stringify(rows) + [...broker.service.logLines, ...replica.logLines].join("");
      for (const value of [deployKey, passedOn, binary]) expect(kept).not.toContain(value);
      await broker.service.as(broker.service.operatorToken).delete(`${path}/jobs/${job.id}`).expect(204);
      const after = await broker.ask(job.token, { format: "ci-scripts", allowPartial: true }, replica);
      expectProblem(after, "unauthenticated");
      expect((await broker.events("secret.delivered")).length).toBe(before + 2);
    } finally {
      await replica.close();
    }
  });

  it("hold no secrets at all when too many, or too large ones, are flagged, and none is opened", async () => {
    const operator = broker.service.as(broker.service.operatorToken);
    const put = (name: string, value: string) =>
      operator.put(`${path}/secrets/${name}`).send({ value, deliverToJobs: true }).expect(201);
    const unflag = (name: string) => operator.delete(`${path}/secrets/${name}`).expect(204);
    const { token } = await broker.openJob();
    const before = (await broker.events("secret.delivered")).length;
    const large = Array.from({ length: 17 }, (_, n) => `large-${n}`);
    for (const name of large) await put(name, "x".repeat(64_000));
    expect(expectProblem(await askFiles(token), "limit-reached").detail).toMatch(/^19 secrets of 1064 KiB are flagged/);
    for (const name of large) await unflag(name);
    const many = Array.from({ length: 99 }, (_, n) => `many-${n}`);
    await Promise.all(many.map((name) => put(name, "x")));
    expectProblem(await askFiles(token), "limit-reached");
    expect((await broker.events("secret.delivered")).length).toBe(before);
    await Promise.all(many.map(unflag));
    expect((await askFiles(token)).status).toBe(200);
  });

  it("are there for a factory without registries too", async () => {
    const { name } = await broker.service.createFactory();
    const { token } = await broker.service.openJob(name);
    const asked = broker.service.as(token).post(`/v1/factories/${name}/registry-tokens`);
    const reply = await asked.send({ format: "ci-scripts" });
    expect(textOf(reply.body.files, "container-registries")).toBe("[]");
  });
});

describe("a secret's name", () => {
  it("cannot be that of the list of registries, by the API or by fioctl", async () => {
    const operator = broker.service.as(broker.service.operatorToken);
    const value = "not-a-real-secret-list";
    expectProblem(await operator.put(`${path}/secrets/container-registries`).send({ value }), "invalid-request");
    const secrets = [{ name: "container-registries", value }];
    const fioctl = operator.post(`/projects/${broker.factory.name}/lmp/triggers/`);
    expectProblem(await fioctl.send({ type: "simple", secrets }), "invalid-request");
    await operator.delete(`${path}/secrets/container-registries`).expect(404);
  });

  it("that has a meaning in a job is warned of when the secret is flagged for delivery", async () => {
    const operator = broker.service.as(broker.service.operatorToken);
    const put = (name: string, deliverToJobs: boolean) =>
      operator.put(`${path}/secrets/${name}`).send({ value: "not-a-real-secret-named", deliverToJobs });
    for (const name of ["osftok", "netrc-github", "ssh-deploy.key"]) {
      const { body } = await put(name, true);
      expect(body.warnings).toMatchObject([{ code: "job-name", message: expect.stringContaining(`"${name}"`) }]);
    }
    expect((await put("targets", false)).body.warnings).toEqual([]);
  });
});
