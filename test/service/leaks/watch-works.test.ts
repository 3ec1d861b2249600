import request from "supertest";
import { describe, expect, it } from "vitest";
import { assertNothingLeaked, recordedCount, recordText, secretValue, unwatched } from "../../support/leak-watch.js";
import { startOwnTestService, startTestService } from "../../support/test-service.js";

describe("the watch over every reply, log line, audit row and metric of the suite", () => {
  it.each([
    ["raw", (value: string) => value],
    ["as JSON", (value: string) => JSON.stringify({ value })],
    ["base64", (value: string) => Buffer.from(value).toString("base64")],
    ["base64 inside a longer text", (value: string) => Buffer.from(`user:${value}`).toString("base64")],
    ["hex", (value: string) => Buffer.from(value).toString("hex")],
    ["URL-encoded", (value: string) => encodeURIComponent(value)],
  ])("finds a value that is %s", (_form, write) => {
    const value = secretValue("needs /+ encoding");
    recordText(`... ${write(value)} ...`);
    expect(assertNothingLeaked).toThrow("a secret value was seen outside");
    unwatched(value);
    expect(assertNothingLeaked).not.toThrow();
  });

  it("sees what a service answers, logs, audits and counts", async () => {
    const before = recordedCount();
    const service = await startOwnTestService();
    const { name } = await service.createFactory();
    await service.as(service.operatorToken).put(`/v1/factories/${name}/secrets/a`).send({ value: secretValue() });
    await service.close();
    // Two replies with their log lines, the metrics, and the audit rows of the token, the factory and the secret.
    expect(recordedCount() - before).toBeGreaterThanOrEqual(7);
  });

  it("searches what the shared service answered, logged and audited when a test file gives it back", async () => {
    const service = await startTestService();
    const { name } = await service.createFactory();
    const value = secretValue();
    // The name of a token stands in the audit, and in no reply or line of the log before.
    const made = { name: value, permissions: ["secrets:list"] };
    await request(service.url)
      .post(`/v1/factories/${name}/api-tokens`)
      .set("OSF-TOKEN", service.operatorToken)
      .send(made);
    expect(assertNothingLeaked).not.toThrow();
    await expect(service.close()).rejects.toThrow("a secret value was seen outside");
    unwatched(value);
    await service.close();
  });
});

describe("a secret value that is sent where it does not belong", () => {
  const where: [
    string,
    (value: string) => { method: "put" | "post" | "get"; path: string; body?: string; type?: string },
  ][] = [
    [
      "as a secret's name",
      (value) => ({ method: "put", path: `/secrets/${encodeURIComponent(value)}`, body: '{"value":"x"}' }),
    ],
    [
      "as an unknown field",
      (value) => ({ method: "put", path: "/secrets/a", body: JSON.stringify({ value: "x", [value]: 1 }) }),
    ],
    [
      "as a value of the wrong type",
      (value) => ({ method: "put", path: "/secrets/a", body: JSON.stringify({ value: [value] }) }),
    ],
    ["in JSON that does not parse", (value) => ({ method: "put", path: "/secrets/a", body: `{"value":"${value}"` })],
    [
      "as a batch's name",
      (value) => ({
        method: "post",
        path: "/secrets:batch",
        body: JSON.stringify({ secrets: [{ name: `${value} `, value }] }),
      }),
    ],
    [
      "twice in a batch",
      (value) => ({
        method: "post",
        path: "/secrets:batch",
        body: JSON.stringify({
          secrets: [
            { name: "a", value },
            { name: "a", value },
          ],
        }),
      }),
    ],
    [
      "as an expiry",
      (value) => ({ method: "put", path: "/secrets/a", body: JSON.stringify({ value: "x", expiresAt: value }) }),
    ],
    [
      "in a config, in place of a type",
      (value) => ({ method: "put", path: "/config", type: "application/yaml", body: `- type: ${value}\n` }),
    ],
    [
      "in a config that is no YAML",
      (value) => ({ method: "put", path: "/config", type: "application/yaml", body: `a: [${value}\n- "` }),
    ],
    [
      "in a config, as a url",
      (value) => ({
        method: "put",
        path: "/config",
        type: "application/yaml",
        body: `- {type: generic, url: "https://user:${value}@ghcr.io", generic_secret_name: a}\n`,
      }),
    ],
    [
      "in a config, as a duplicate key",
      (value) => ({ method: "put", path: "/config", type: "application/yaml", body: `${value}: 1\n${value}: 2\n` }),
    ],
    [
      "as a registry",
      (value) => ({ method: "post", path: "/registry-tokens", body: JSON.stringify({ registry: value }) }),
    ],
    [
      "as a repository",
      (value) => ({
        method: "post",
        path: "/registry-tokens",
        body: JSON.stringify({ registry: "ghcr.io", repositories: [`${value}:latest`] }),
      }),
    ],
    [
      "as a registry entry's url",
      (value) => ({
        method: "post",
        path: "/registries",
        body: JSON.stringify({ type: "generic", url: `https://u:${value}@h`, secretName: "a" }),
      }),
    ],
    ["as a page token", (value) => ({ method: "get", path: `/secrets?pageToken=${encodeURIComponent(value)}` })],
    ["as a query parameter", (value) => ({ method: "get", path: `/secrets?${encodeURIComponent(value)}=1` })],
  ];

  it("is repeated nowhere: not in the answer, the log, the audit or the metrics", async () => {
    const service = await startOwnTestService();
    const { name } = await service.createFactory();
    for (const [how, ask] of where) {
      // With a space in it, so that it is no name by any rule.
      const { method, path, body, type } = ask(secretValue("mis placed"));
      const request = service.as(service.operatorToken)[method](`/v1/factories/${name}${path}`);
      const reply = await request.set("Content-Type", type ?? "application/json").send(body);
      expect(reply.status, how).toBeGreaterThanOrEqual(400);
      expect(reply.status, how).toBeLessThan(500);
    }
    // Asserts that nothing that was watched was seen.
    await service.close();
  });

  it("is refused as a credential without being repeated", async () => {
    const service = await startOwnTestService();
    for (const [header, value] of [
      ["OSF-TOKEN", secretValue()],
      ["Authorization", `Bearer ${secretValue()}`],
      ["Authorization", secretValue()],
    ] as const) {
      const reply = await service.as(undefined).get("/v1/whoami").set(header, value);
      expect(reply.status).toBe(401);
    }
    await service.close();
  });
});
