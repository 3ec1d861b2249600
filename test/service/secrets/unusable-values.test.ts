import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { deafen } from "../../support/deafen.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
let factory: { id: string; name: string };
let base: string;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());
beforeEach(async () => {
  factory = await service.createFactory();
  base = `/v1/factories/${factory.name}`;
});

const good = "ci:not-a-real-secret-1";
const path = "/home/me/creds";
const operator = () => service.as(service.operatorToken);
const post = (suffix: string, query = {}) => operator().post(`${base}/secrets${suffix}`).query(query);
const put = (value: string, query = {}) => operator().put(`${base}/secrets/creds`).query(query).send({ value });
const version = async (): Promise<number> => (await operator().get(`${base}/secrets/creds`)).body.version;
const fioctl = (secrets: object[]) =>
  operator().patch(`/projects/${factory.name}/lmp/triggers/1/`).send({ type: "simple", secrets });

async function publish(entries = "- {type: generic, url: quay.example.test, generic_secret_name: creds}\n") {
  const reply = operator().put(`${base}/config`).query({ allowMissingSecrets: "true" });
  await reply
    .set("Content-Type", "application/yaml")
    .send(entries)
    .expect(({ ok }) => expect(ok).toBe(true));
}

function expectRefused(reply: Parameters<typeof expectProblem>[0]) {
  const { detail } = expectProblem(reply, "secret-malformed");
  expect(reply.status).toBe(422);
  expect(detail).toContain('The value of "creds" cannot be used');
  expect(detail).not.toContain(path);
  return detail;
}

describe("a value that the entries which name its secret cannot use", () => {
  it("is refused by a write, and taken when that is wanted", async () => {
    await publish();
    expect(expectRefused(await put(path))).toContain("creds==FILE");
    expectProblem(await operator().get(`${base}/secrets/creds`), "not-found");
    await put(good).expect(201);
    expectRefused(await put("no colon"));
    expect(await version()).toBe(1);
    const { body } = await put(path, { allowUnusable: "true" }).expect(200);
    expect(body.warnings).toMatchObject([{ code: "credential-malformed" }]);
  });

  it("is refused although nothing was heard yet of the config that names its secret", async () => {
    await put(good).expect(201);
    await deafen(service);
    await publish();
    expectRefused(await put(path));
    expect(await version()).toBe(1);
    await put("ci:not-a-real-secret-2").expect(200);
  });

  it("is refused although nothing was heard yet of the config that waits for its secret", async () => {
    await operator().put(`${base}/secrets/other`).send({ value: good }).expect(201);
    await deafen(service);
    await publish();
    expectRefused(await put(path));
    expectProblem(await operator().get(`${base}/secrets/creds`), "not-found");
    await put(good).expect(201);
  });

  it("is refused by a batch as a whole", async () => {
    await publish();
    const secrets = [
      { name: "other", value: path },
      { name: "creds", value: path },
    ];
    expectRefused(await post(":batch").send({ secrets }));
    expectProblem(await operator().get(`${base}/secrets/other`), "not-found");
    await post(":batch", { allowUnusable: "true" }).send({ secrets }).expect(200);
  });

  it("is refused to fioctl, in a sentence that it prints", async () => {
    await publish();
    expect(expectRefused(await fioctl([{ name: "creds", value: path }]))).toContain("creds==FILE");
    const first = operator().post(`/projects/${factory.name}/lmp/triggers/`).send({ type: "simple", creds: path });
    expectRefused(await first);
    await fioctl([{ name: "creds", value: good }]).expect(200);
    await fioctl([{ name: "creds", value: null }]);
  });

  it("is staged with a warning, and not promoted", async () => {
    await publish();
    await put(good).expect(201);
    const { body } = await put(path, { stage: "true" }).expect(200);
    expect(body.warnings).toMatchObject([{ code: "credential-malformed" }]);
    expectRefused(await post("/creds/versions/2:promote"));
    expect(await version()).toBe(1);
    await post("/creds/versions/2:promote", { allowUnusable: "true" }).expect(200);
    expect(await version()).toBe(2);
  });

  it("does not come back by a rollback, a restoration or an undeletion", async () => {
    await put(path).expect(201);
    await put(good).expect(200);
    await publish();
    expectRefused(await post("/creds:rollback"));
    expectRefused(await post("/creds/versions/1:restore"));
    expect(await version()).toBe(2);
    await post("/creds/versions/1:restore", { allowUnusable: "true" }).expect(200);
    await operator().delete(`${base}/secrets/creds`).query({ force: "true" }).expect(204);
    expectRefused(await post("/creds:undelete"));
    await post("/creds:undelete", { allowUnusable: "true" }).expect(200);
    await post("/creds:rollback").expect(200);
    expect(await version()).toBe(2);
  });

  it("is taken of a secret that no entry names", async () => {
    await put(path).expect(201);
    await put(good).expect(200);
    await post("/creds:rollback").expect(200);
    await operator().delete(`${base}/secrets/creds`).expect(204);
    await post("/creds:undelete").expect(200);
  });

  it("is judged by each entry: the profile that one names must be there", async () => {
    const keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = not-a-real-secret-1\n";
    await publish("- {type: aws, region: us-east-2, aws_creds_secret_name: creds, profile: ci}\n");
    expect(expectRefused(await put(`[default]\n${keys}`))).toContain("It has no profile [ci].");
    await put(`\uFEFF[ci]\n${keys}aws_security_token = x\n`).expect(201);
  });
});

describe("a config that names the secret again between the look at a value and the moment that it becomes current", () => {
  const stage = (value: string) => operator().put(`${base}/secrets/creds`).query({ stage: "true" }).send({ value });
  const unnamed = "- {type: generic, url: other.example.test, generic_secret_name: other}\n";

  /** A config names the secret, which has versions 1 to 3 that no registry can use but the first; then another config does not. */
  async function prepare(): Promise<void> {
    await put(good).expect(201);
    await publish();
    await publish(unnamed);
    await put(path).expect(200);
    await put("ci:not-a-real-secret-2").expect(200);
    await stage(path);
  }

  /** Goes back to the first config, in one transaction, while the request waits for the secret after it has looked. */
  async function republishInside(send: () => Promise<Parameters<typeof expectProblem>[0]>) {
    const client = await service.database.pool.connect();
    try {
      await client.query("BEGIN");
      await client.query("SELECT id FROM secrets WHERE factory_id = $1 AND name = 'creds' FOR UPDATE", [factory.id]);
      const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const sent = send();
      const waiting = "SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
      await expect.poll(async () => (await service.database.pool.query(waiting, [rows[0]?.pid])).rowCount).toBe(1);
      await client.query("UPDATE secrets SET named = deleted_at IS NULL WHERE factory_id = $1 AND name = 'creds'", [
        factory.id,
      ]);
      await client.query(
        "UPDATE factories SET config_version = 1, named_secrets = '{creds}', generation = generation + 1 WHERE id = $1",
        [factory.id],
      );
      await client.query("COMMIT");
      return await sent;
    } finally {
      client.release();
    }
  }

  it.each<[string, () => Promise<Parameters<typeof expectProblem>[0]>]>([
    ["a promotion", async () => post("/creds/versions/4:promote")],
    ["a rollback", async () => post("/creds:rollback")],
    ["a restore", async () => post("/creds/versions/2:restore")],
    ["a write", async () => put(path)],
  ])("is found by %s", async (_, send) => {
    await prepare();
    const before = await version();
    expectRefused(await republishInside(send));
    expect(await version()).toBe(before);
  });

  it("is found by an undelete", async () => {
    await prepare();
    await put(path).expect(200);
    await operator().delete(`${base}/secrets/creds`).expect(204);
    expectRefused(await republishInside(async () => post("/creds:undelete")));
    expectProblem(await operator().get(`${base}/secrets/creds`), "not-found");
  });

  it("refuses none that it can use", async () => {
    await prepare();
    const reply = await republishInside(async () => put("ci:not-a-real-secret-3"));
    expect(reply.status).toBe(200);
  });
});
