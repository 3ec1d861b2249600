import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { whileAnswering } from "../../../support/cli/stand-in-service.js";
import { serveDesk } from "./served-desk.js";

const served = serveDesk();

test("audit export writes the events of the factory to a new file, for its owner alone", async () => {
  const { desk } = served;
  const out = join(desk.directory, "acme.ndjson");
  const { exitCode, err } = await desk.run(["audit", "export", "--out", out]);
  const lines = readFileSync(out, "utf8").trimEnd().split("\n");
  const events = lines.filter((line) => line.startsWith('{"type":"event"'));
  expect(exitCode).toBe(0);
  // Before it, the command may say that it waits: nothing of a new factory is sealed yet.
  const wrote = `Wrote ${out}: ${events.length} events of the factory ${desk.environment.FACTORY_SECRETS_FACTORY}.\n`;
  expect(err.slice(-wrote.length)).toBe(wrote);
  expect(events.length).toBeGreaterThan(0);
  expect(statSync(out).mode & 0o777).toBe(0o600);
  const again = await desk.run(["audit", "export", "--out", out]);
  expect(again).toMatchObject({ exitCode: 1, err: `${out} exists. It was not overwritten; name another file.\n` });
});

test("audit export --format cef writes an event a line", async () => {
  const { desk } = served;
  const out = join(desk.directory, "acme.cef");
  const { err } = await desk.run(["audit", "export", "--format", "cef", "--out", out]);
  const lines = readFileSync(out, "utf8").trimEnd().split("\n");
  expect(lines.every((line) => line.startsWith("CEF:0|"))).toBe(true);
  expect(err).toContain(`: ${lines.length} events of the factory`);
});

test("audit export of a factory that does not exist, or with another token, is refused and leaves no file", async () => {
  const { desk } = served;
  const out = join(desk.directory, "none.ndjson");
  const missing = await desk.run(["audit", "export", "--factory", "no-such", "--out", out]);
  expect(missing.exitCode).toBeGreaterThan(3);
  expect(missing.err).toContain("no-such");
  expect(readdirSync(desk.directory)).not.toContain("none.ndjson");
});

test("audit export that breaks off says so, and leaves no half of a file", async () => {
  const { desk } = served;
  const out = join(desk.directory, "half.ndjson");
  let asked = 0;
  const done = await whileAnswering(
    (_request, response) => {
      asked += 1;
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.write('{"type":"key"}\n', () => response.destroy());
    },
    (url) => desk.run(["audit", "export", "--out", out, "--url", url, "--timeout", "5"]),
  );
  expect(done).toMatchObject({ exitCode: 6, err: expect.stringContaining("broke before the end of the export") });
  expect(asked).toBe(1);
  expect(readdirSync(desk.directory)).not.toContain("half.ndjson");
});

test("audit export refuses the page of another server", async () => {
  const { desk } = served;
  const out = join(desk.directory, "page.ndjson");
  const done = await whileAnswering(
    (_request, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html></html>"),
    (url) => desk.run(["audit", "export", "--out", out, "--url", url, "--timeout", "2"]),
  );
  expect(done).toMatchObject({ exitCode: 6, err: expect.stringContaining("not as factory-secrets does") });
  expect(readdirSync(desk.directory)).not.toContain("page.ndjson");
});

test("audit checkpoint and audit prove print what the service says", async () => {
  const { desk } = served;
  const isSigned = /^factory-secrets\/[0-9a-f-]{36}\/[0-9a-f-]{36}\n\d+\n\S{44}\n\n\u2014 factory-secrets\//;
  expect(await desk.run(["audit", "checkpoint"])).toMatchObject({ exitCode: 0, out: expect.stringMatching(isSigned) });
  const { out } = await desk.run(["audit", "tail", "--output", "json"]);
  const [id] = /[0-9a-f]{32}/.exec(out.slice(out.indexOf('"id"'))) ?? [];
  const proof = await desk.run(["audit", "prove", "--event", id ?? ""]);
  expect(proof).toMatchObject({
    exitCode: 0,
    out: expect.stringMatching(/^c2sp\.org\/tlog-proof@v1\nextra \S+\nindex \d+\n/),
  });
  expect(await desk.run(["audit", "prove", "--event", "0"])).toMatchObject({ out: "", exitCode: 5 });
  const whole = await desk.run(["audit", "checkpoint", "--installation"]);
  expect(whole.out).toMatch(/^factory-secrets\/[0-9a-f-]{36}\n/);
});
