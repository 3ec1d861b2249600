import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { awsUser, type BrokeredFactory, startBrokeredFactory } from "../../../support/broker/brokered-factory.js";
import { watched } from "../../../support/leak-watch.js";
import { expectProblem } from "../../http/expect-problem.js";
import { lifeOf, type SecretLife } from "../../secrets/secret-life.js";

const password = watched("not-a-real-secret-doctor-9c02");
const nextPassword = watched("not-a-real-secret-doctor-next-b7");
const host = "registry.example.com";
const rights = { "acme/app": ["pull"] } as const;
const users: Record<string, { password: string; rights: typeof rights }> = {
  ci: { password, rights },
  next: { password: nextPassword, rights },
};

let broker: BrokeredFactory;
let registry: ReturnType<BrokeredFactory["clouds"]["docker"]["addRegistry"]>["registry"];
beforeAll(async () => {
  broker = await startBrokeredFactory(({ docker, azure }) => {
    registry = docker.addRegistry({ host, users }).registry;
    azure.addRegistry("acme");
  });
});
afterAll(() => broker.close());

/** A secret of its own, because each is tried five times a minute, and the entries that name it. */
async function newSecret(entries = (name: string) => genericEntry(name)): Promise<SecretLife> {
  const name = `creds-${randomBytes(4).toString("hex")}`;
  const life = lifeOf(broker.service, broker.factory, name);
  await life.put(`ci:${password}`).expect(201);
  await broker.putConfig(`container_registries:\n${entries(name)}`);
  return life;
}

const genericEntry = (name: string) => `- type: generic\n  url: ${host}\n  generic_secret_name: ${name}\n`;

const lastExamined = async () => (await broker.events("secret.examined")).at(-1);

describe("a version that is tried", () => {
  it("is the staged one, compared with the current one, and nothing changes by it", async () => {
    const life = await newSecret();
    await life.stage(`next:${nextPassword}`).expect(200);
    const { body } = await life.post("/versions/2:doctor").expect(200);
    expect(body).toMatchObject({ version: 2, currentVersion: 1, outcome: "warning", passed: true, checks: [] });
    expect(body.registries).toMatchObject([{ entry: host, registry: host, type: "generic", outcome: "warning" }]);
    const codes = body.registries[0].checks.map(({ code }: { code: string }) => code);
    expect(codes).toEqual(["login", "narrowing", "reach", "push", "same-principal"]);
    expect(await life.states()).toEqual(["2 staged", "1 current"]);
    expect(JSON.stringify(body)).not.toMatch(/next|not-a-real-secret/);
  });

  it("is the current one when none is named, and each named repository is looked at", async () => {
    const life = await newSecret();
    const asked = { registry: host, repositories: ["acme/app", "acme/other"] };
    const { body } = await life.post(":doctor", {}, asked).expect(200);
    expect(body).toMatchObject({ version: 1, currentVersion: 1, outcome: "failed", passed: false });
    const reach = body.registries[0].checks.filter(({ code }: { code: string }) => code === "reach");
    expect(reach.map(({ outcome }: { outcome: string }) => outcome)).toEqual(["ok", "failed"]);
  });

  it("leaves a row that says what was opened and found, before the answer leaves", async () => {
    const life = await newSecret();
    await life.stage(`ci:${password}-wrong`).expect(200);
    await life.post("/versions/2:doctor").expect(200);
    const [secret] = life.path.split("/").slice(-1);
    expect(await lastExamined()).toMatchObject({
      ...{ secret, secretVersion: 2, comparedWith: 1, result: "failed", outcome: "allowed" },
      findings: [`${host}: login failed`],
      actor: { name: "test operator" },
    });
    await life.post(":doctor").expect(200);
    const current = await lastExamined();
    expect(current).toMatchObject({ secretVersion: 1, result: "unknown", findings: [`${host}: reach unknown`] });
    expect(current).not.toHaveProperty("comparedWith");
  });

  it("meets no token that jobs are given, and leaves none behind", async () => {
    const life = await newSecret();
    const { token } = await broker.openJob();
    const demand = { registry: host, repositories: ["acme/app"] };
    await life.post(":doctor", {}, demand).expect(200);
    await broker.ask(token, demand);
    expect((await broker.events("registry-token.issued")).at(-1)).toMatchObject({ cached: false });
    registry.forget();
    await life.post(":doctor").expect(200);
    expect(registry.requests.length).toBeGreaterThan(0);
  });

  it("is tried five times a minute, and then answered 429", async () => {
    const life = await newSecret();
    for (let run = 0; run < 5; run += 1) await life.post(":doctor").expect(200);
    registry.forget();
    const refused = await life.post(":doctor");
    expectProblem(refused, "too-many-requests");
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expectProblem(await life.post("/versions/1:doctor"), "too-many-requests");
    expect(registry.requests).toEqual([]);
  });

  it("is said what a write of it would be warned of, and by its own note to have ended", async () => {
    const life = await newSecret(
      (name) => `${genericEntry(name)}- type: azure\n  url: acme.azurecr.io\n  azure_principal_secret_name: ${name}\n`,
    );
    const value = `[default]\n${awsUser("LINTXXXX").section}`;
    const put = broker.service.as(broker.service.operatorToken).put(life.path).query({ stage: "true" });
    await put.send({ value, expiresAt: "2020-01-01T00:00:00Z" }).expect(200);
    const { body } = await life.post("/versions/2:doctor").expect(200);
    const codes = body.checks.map(({ code }: { code: string }) => code);
    expect(codes).toEqual(expect.arrayContaining(["other-cloud", "credential-malformed", "expired"]));
    expect(body.registries.map(({ checks }: { checks: { code: string }[] }) => checks[0]?.code)).toEqual([
      "form",
      "form",
    ]);
    expect(body.passed).toBe(false);
  });

  it("has nowhere to be tried when no entry names it", async () => {
    const life = await newSecret();
    await broker.putConfig("container_registries: []\n");
    const { body } = await life.post(":doctor").expect(200);
    expect(body).toMatchObject({ outcome: "unknown", passed: true, registries: [], checks: [{ code: "unnamed" }] });
  });

  it("is sent to no place that was not approved for it", async () => {
    const life = await newSecret();
    await broker.service.database.pool.query("DELETE FROM approved_destinations WHERE factory_id = $1", [
      broker.factory.id,
    ]);
    // As another replica's write would: nothing announces it to this one but the generation.
    await broker.service.database.pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [
      broker.factory.id,
    ]);
    registry.forget();
    const { body } = await life.post(":doctor").expect(200);
    expect(body.registries).toMatchObject([{ checks: [{ code: "destination", outcome: "failed" }] }]);
    expect(registry.requests).toEqual([]);
  });

  it("must be there, and not destroyed", async () => {
    const life = await newSecret();
    expectProblem(await life.post("/versions/9:doctor"), "not-found");
    await life.put(`ci:${password}`).expect(200);
    await life.remove("/versions/1?force=true").expect(204);
    expectProblem(await life.post("/versions/1:doctor"), "version-unsuitable");
    expectProblem(await lifeOf(broker.service, broker.factory, "none").post(":doctor"), "not-found");
  });

  it("is tried at one registry when it is named, which has to be one of its own", async () => {
    const life = await newSecret();
    expectProblem(await life.post(":doctor", {}, { registry: "elsewhere.example.net" }), "registry-unknown");
    expectProblem(await life.post(":doctor", {}, { repositories: ["acme/app"] }), "invalid-request");
    expectProblem(await life.post(":doctor", {}, { registry: host, repositories: ["Not A Name"] }), "invalid-request");
  });
});

describe("promote with doctor=true", () => {
  it("promotes what every registry lets in", async () => {
    const life = await newSecret();
    await life.stage(`next:${nextPassword}`).expect(200);
    await life.post("/versions/2:promote?doctor=true", { "If-Match": '"1"' }).expect(200);
    expect(await life.states()).toEqual(["2 current", "1 previous"]);
    const actions = (await life.events()).map(({ action }) => action);
    expect(actions.slice(-2)).toEqual(["secret.examined", "secret.promoted"]);
  });

  it("leaves the current version where the new one does not log in, or the registry does not answer", async () => {
    const life = await newSecret();
    await life.stage(`ci:${password}-wrong`).expect(200);
    const refused = expectProblem(await life.post("/versions/2:promote?doctor=true"), "version-unsuitable");
    expect(refused.detail).toContain(host);
    await life.stage(`next:${nextPassword}`).expect(200);
    registry.fail("server-error");
    expectProblem(await life.post("/versions/3:promote?doctor=true"), "version-unsuitable");
    registry.heal();
    expect(await life.states()).toEqual(["3 staged", "2 staged", "1 current"]);
    await life.post("/versions/3:promote").expect(200);
  });

  it("tries nothing for a promotion that cannot be", async () => {
    const life = await newSecret();
    registry.forget();
    expectProblem(await life.post("/versions/1:promote?doctor=true"), "version-unsuitable");
    await life.stage(`next:${nextPassword}`).expect(200);
    expectProblem(await life.post("/versions/2:promote?doctor=true", { "If-Match": '"7"' }), "precondition-failed");
    expectProblem(await life.post("/versions/9:promote?doctor=true"), "not-found");
    expect(registry.requests).toEqual([]);
  });
});
