import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ParsedVersions } from "../../../src/factory-config/current-config.js";
import { DocumentWorker } from "../../../src/service/documents/document-worker.js";
import { expectCpuSecondsBelow } from "../../support/cpu-seconds.js";
import { problemsOf } from "../../support/factory-config/problems-of.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const entry = (index: number) =>
  `- type: generic\n  url: registry-${index}.example.test\n  generic_secret_name: registry_${index}\n`;
const large = (entries: number) =>
  `container_registries:\n${Array.from({ length: entries }, (_, index) => entry(index)).join("")}`;

describe("parsed versions", () => {
  const documents = new DocumentWorker();
  afterAll(() => documents.close());

  it("are parsed once, each of its factory and version alone", async () => {
    const parsed = new ParsedVersions(documents);
    const first = await parsed.parse("a", { version: 1, document: Buffer.from(entry(1)) });
    expect(await parsed.parse("a", { version: 1, document: Buffer.from(entry(1)) })).toBe(first);
    for (const [factory, version] of [
      ["a", 2],
      ["b", 1],
    ] as const) {
      const other = await parsed.parse(factory, { version, document: Buffer.from(entry(2)) });
      expect(other).toMatchObject({ ok: true, config: { entries: [{ entry: { id: "registry-2.example.test" } }] } });
    }
  });

  it("remember an empty document and one that is not valid too", async () => {
    const parsed = new ParsedVersions(documents);
    for (const [version, text] of ["", "- ]"].entries()) {
      const first = await parsed.parse("a", { version, document: Buffer.from(text) });
      expect(await parsed.parse("a", { version, document: Buffer.from(text) })).toBe(first);
    }
  });
});

describe("over HTTP", () => {
  let service: TestService;
  let path: string;
  beforeAll(async () => {
    service = await startTestService();
    path = `/v1/factories/${(await service.createFactory()).name}`;
  });
  afterAll(() => service.close());

  const put = async (document: string) =>
    service
      .as(service.operatorToken)
      .put(`${path}/config?allowMissingSecrets=true`)
      .set("Content-Type", "application/yaml")
      .send(document);

  it("reads what is current after each change, by every route", async () => {
    for (const count of [1, 2]) {
      expect((await put(large(count))).status).toBeLessThan(300);
      const agent = service.as(service.operatorToken);
      const config = await agent.get(`${path}/config`);
      expect(config.body.entries).toHaveLength(count);
      expect((await agent.get(`${path}/registries`)).body.items).toHaveLength(count);
    }
  });

  it("refuses a document of too many values before it is parsed", async () => {
    // Another one each time: what was refused before may be known.
    let values = 130_000;
    await expectCpuSecondsBelow(0.5, async () => {
      values += 1;
      const { invalid } = expectProblem(await put("-\n".repeat(values)), "invalid-config");
      expect(invalid).toMatchObject([{ reason: expect.stringContaining("more than 40,000 values") }]);
    });
  });
});

it("a document of two thousand entries is not too large", () => {
  expect(problemsOf(large(2_000))).toEqual([]);
});
