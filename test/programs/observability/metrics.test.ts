import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSettings } from "../../../src/settings/settings.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
let directory: string;
let text: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "metrics-"));
  const shipTo = `file:${join(directory, "audit.ndjson")},syslog+tcp://127.0.0.1:9`;
  service = await startTestService({ FACTORY_SECRETS_AUDIT_SHIP_TO: shipTo });
  await service.createFactory("measured");
  await service.as(service.operatorToken).get("/v1/factories/measured/config");
  text = await metrics();
});
afterAll(async () => {
  await service.close();
  await rm(directory, { recursive: true, force: true });
});

const metrics = async (): Promise<string> => (await service.as(undefined).get("/metrics").expect(200)).text;

type Family = { name: string; type: string; help: string; series: string[] };

function familiesOf(document: string): Family[] {
  return document.split(/^(?=# HELP )/m).map((part) => {
    const [, name = "", help = ""] = /^# HELP (\S+) (.*)$/m.exec(part) ?? [];
    const type = /^# TYPE \S+ (\w+)$/m.exec(part)?.[1] ?? "";
    return { name, type, help, series: part.split("\n").filter((line) => line !== "" && !line.startsWith("#")) };
  });
}

// The rules of `promtool check metrics` (prometheus/client_golang, prometheus/testutil/promlint/validations).
describe("each metric", () => {
  it("has a help text and a type, and a name as its type and unit ask", () => {
    const families = familiesOf(text);
    expect(families.length).toBeGreaterThan(30);
    const wrong = families.flatMap(({ name, type, help }) => [
      ...(help === "" ? [`${name} has no help`] : []),
      ...(["counter", "gauge", "histogram", "summary"].includes(type) ? [] : [`${name} has no type`]),
      ...((type === "counter") === name.endsWith("_total") ? [] : [`${name} is a ${type}`]),
      ...(/_(?:bucket|count|sum)$/.test(name) ? [`${name} ends like a part of a histogram`] : []),
      ...(/[A-Z:]/.test(name) ? [`${name} is not in snake case`] : []),
      ...(/_(?:milli|micro|nano|kilo|mega|giga)|_(?:minutes|hours|days|ms|secs?|kb|mb|bits)(?:_|$)/.test(name)
        ? [`${name} has another unit than the base one`]
        : []),
      ...(new RegExp(`_${type}(?:_|$)`).test(name) ? [`${name} repeats its type`] : []),
    ]);
    expect(wrong).toEqual([]);
  });

  it("has no label that names a path or a host", () => {
    const lag = familiesOf(text).find(({ name }) => name === "factory_secrets_audit_shipping_lag_events");
    expect(lag?.series.map((line) => /target="([^"]*)"/.exec(line)?.[1])).toEqual(["file-1", "syslog-2"]);
    expect(text).not.toContain(directory);
    expect(text).not.toContain("127.0.0.1");
  });

  it.skipIf(spawnSync("promtool", ["--version"]).error !== undefined)("passes promtool", () => {
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: "" });
  });
});

it("is made once a second at most, whoever asks", async () => {
  const cpuLines = await Promise.all(Array.from({ length: 20 }, metrics));
  // The time of the process moves whenever the text is made: two at most, where a second ended in between.
  expect(new Set(cpuLines).size).toBeLessThanOrEqual(2);
  await expect.poll(metrics).not.toBe(cpuLines[0]);
});

describe("FACTORY_SECRETS_METRICS_PORT", () => {
  const portOf = (environment: Record<string, string>) => readSettings(environment).metricsPort;

  it.each(["127.0.0.1", "::1", "localhost", "127.8.8.8"])("is the main port while HOST is %s", (host) => {
    expect(portOf({ HOST: host })).toBeUndefined();
  });

  it.each(["0.0.0.0", "::", "192.0.2.7", "secrets.example.com"])("is 9464 when HOST is %s", (host) => {
    expect(portOf({ HOST: host })).toBe(9464);
    expect(portOf({ HOST: host, FACTORY_SECRETS_METRICS_PORT: "9100" })).toBe(9100);
    expect(() => portOf({ HOST: host, PORT: "9464" })).toThrow("is the same as PORT");
  });

  it("takes /metrics away from the main port", async () => {
    const other = await startTestService({ HOST: "0.0.0.0" }, service);
    try {
      await other.as(undefined).get("/metrics").expect(404);
    } finally {
      await other.close();
    }
  });
});
