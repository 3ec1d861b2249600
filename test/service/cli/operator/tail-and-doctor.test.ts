import { afterAll, beforeAll, expect, test } from "vitest";
import { whileAnswering } from "../../../support/cli/stand-in-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

const factory = "acme";
let desk: OperatorDesk;
beforeAll(() => {
  desk = openOperatorDesk({ FACTORY_SECRETS_FACTORY: factory, FACTORY_SECRETS_TOKEN: "fso_not-a-token" });
});
afterAll(() => desk.close());

const at = (url: string, ...args: string[]) => desk.run([...args, "--url", url]);

test("audit tail --follow prints each event once, a late one too, and asks for the pages between", async () => {
  const event = (id: number) => ({
    id: String(id),
    at: "2026-01-01T00:00:00.000Z",
    action: "x",
    outcome: "allowed",
    actor: {},
  });
  const first = [event(300), event(298)];
  const busy = Array.from({ length: 250 }, (_, index) => event(550 - index));
  // 299 was committed after 300.
  const later = [...busy, event(300), event(299), event(298)];
  let looks = 0;
  const done = whileAnswering(
    (request, response) => {
      const { searchParams } = new URL(request.url ?? "", "http://localhost");
      const token = searchParams.get("pageToken");
      if (token === null) looks += 1;
      if (looks === 3)
        return void response
          .writeHead(403, { "content-type": "application/json" })
          .end('{"code":"forbidden","detail":"Enough."}');
      const all = looks === 1 ? first : later;
      const start = Number(token ?? 0);
      const next = start + 200 < all.length ? { nextPageToken: String(start + 200) } : {};
      response.writeHead(200).end(JSON.stringify({ items: all.slice(start, start + 200), ...next }));
    },
    (url) => desk.run(["audit", "tail", "--follow", "-o", "json", "--url", url]),
  );
  const { exitCode, out } = await done;
  expect(exitCode).toBe(4);
  const ids = out
    .trimEnd()
    .split("\n")
    .map((line) => Number(JSON.parse(line).id));
  expect(ids).toEqual([298, 300, 299, ...busy.map(({ id }) => Number(id)).reverse()]);
});

test("secrets doctor of a secret that no entry names says that there is nothing to try, and ends with 1", async () => {
  const check = { code: "unnamed", outcome: "unknown", message: "No registry entry names it." };
  const report = { name: "a", version: 1, currentVersion: 1, outcome: "unknown", passed: true, checks: [check] };
  for (const output of ["table", "json"]) {
    const done = await whileAnswering(
      (_request, response) => void response.writeHead(200).end(JSON.stringify({ ...report, registries: [] })),
      (url) => at(url, "secrets", "doctor", "a", "-o", output),
    );
    expect(done.exitCode).toBe(1);
    expect(done.out).not.toContain("Jobs get tokens");
    if (output === "table") expect(done.out).toContain("Nothing to try: no registry entry names this secret.");
  }
});

test("audit tail takes every filter, and with --installation names the factory of each event", async () => {
  const event = { at: "2026-01-01T00:00:00.000Z", action: "x", outcome: "allowed", actor: { kind: "job", name: "b" } };
  const items = [
    { ...event, id: "2" },
    { ...event, id: "1", factory: { id: "f", name: "acme" } },
  ];
  let asked = "";
  const filters = { secret: "s", actor: "a", action: "x", outcome: "refused", registry: "ghcr.io", from: "f", to: "t" };
  const flags = Object.entries(filters).flatMap(([name, value]) => [`--${name}`, value]);
  const done = await whileAnswering(
    (request, response) => {
      asked = request.url ?? "";
      response.writeHead(200).end(JSON.stringify({ items }));
    },
    (url) => at(url, "audit", "tail", "--installation", ...flags),
  );
  expect(done.exitCode).toBe(0);
  const { pathname, searchParams } = new URL(asked, "http://localhost");
  expect(pathname).toBe("/v1/audit");
  expect(Object.fromEntries(searchParams)).toEqual({ ...filters, pageSize: "200" });
  expect(done.out.split("\n").map((line) => line.split("  ").at(-2))).toEqual(["acme", "(installation)", undefined]);
});

test("secrets doctor shows what each registry says, and ends with 1 when jobs get no token", async () => {
  const report = {
    name: "ghcr_creds",
    version: 2,
    currentVersion: 2,
    outcome: "failed",
    passed: false,
    checks: [{ code: "quoted", outcome: "warning", message: "It stands in quotes." }],
    registries: [
      {
        entry: "ghcr.io",
        registry: "ghcr.io",
        type: "generic",
        outcome: "failed",
        principal: "ci",
        checks: [
          { code: "destination", outcome: "ok", message: "It may be sent there." },
          { code: "login", outcome: "failed", message: "The registry refuses it." },
        ],
      },
    ],
  };
  let asked: unknown;
  const done = await whileAnswering(
    async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      asked = { url: request.url, body: JSON.parse(Buffer.concat(chunks).toString("utf8")) };
      response.writeHead(200).end(JSON.stringify(report));
    },
    (url) =>
      at(
        url,
        "secrets",
        "doctor",
        "ghcr_creds",
        "--version",
        "2",
        "--registry",
        "ghcr.io",
        "--repository",
        "acme/base",
      ),
  );
  expect(asked).toEqual({
    url: `/v1/factories/${factory}/secrets/ghcr_creds/versions/2:doctor`,
    body: { registry: "ghcr.io", repositories: ["acme/base"] },
  });
  expect(done).toEqual({
    exitCode: 1,
    err: "",
    out: "ghcr_creds, version 2\n  warning  quoted: It stands in quotes.\n\nghcr.io (generic)\n  as ci\n  ok       destination: It may be sent there.\n  failed   login: The registry refuses it.\n\nJobs do not get every token with it. Correct the failed checks above.\n",
  });
});

/** The range of times that the service is asked for, and what is printed of 250 events. */
async function tailOf(...flags: string[]) {
  const asked: URLSearchParams[] = [];
  const events = Array.from({ length: 250 }, (_, index) => ({
    id: String(250 - index),
    action: "x",
    outcome: "allowed",
  }));
  const done = await whileAnswering(
    (request, response) => {
      const { searchParams } = new URL(request.url ?? "", "http://localhost");
      asked.push(searchParams);
      const start = Number(searchParams.get("pageToken") ?? 0);
      const next = start + 200 < events.length ? { nextPageToken: String(start + 200) } : {};
      response.writeHead(200).end(JSON.stringify({ items: events.slice(start, start + 200), ...next }));
    },
    (url) => desk.run(["audit", "tail", "-o", "json", ...flags, "--url", url]),
  );
  return { ...done, asked, printed: done.out.split("\n").length - 1 };
}

test.each([
  [["--since", "2026-11-30"], "2026-11-30T00:00:00.000Z", null],
  [
    ["--since", "2026-11-30T08:00:00Z", "--until", "2026-12-01"],
    "2026-11-30T08:00:00.000Z",
    "2026-12-01T00:00:00.000Z",
  ],
  [["--from", "2026-11-30", "--to", "2026-12-01"], "2026-11-30T00:00:00.000Z", "2026-12-01T00:00:00.000Z"],
])("audit tail %j asks for the events of that time, all of them", async (flags, from, to) => {
  const { asked, printed } = await tailOf(...flags);
  expect(asked.map((query) => [query.get("from"), query.get("to")])).toEqual([
    [from, to],
    [from, to],
  ]);
  expect(printed).toBe(250);
});

test("audit tail --since takes a length of time, counted back from now", async () => {
  const before = Date.now();
  const { asked } = await tailOf("--since", "90d", "--until", "2h");
  const agoMs = (name: string) => before - Date.parse(asked[0]?.get(name) ?? "");
  expect(Math.abs(agoMs("from") - 90 * 86_400_000)).toBeLessThan(60_000);
  expect(Math.abs(agoMs("to") - 2 * 3_600_000)).toBeLessThan(60_000);
});

test("audit tail --since with --lines, and without --since, prints the last ones alone", async () => {
  expect(await tailOf("--since", "90d", "--lines", "7")).toMatchObject({ printed: 7, asked: { length: 1 } });
  expect(await tailOf("--until", "2h")).toMatchObject({ printed: 20, asked: { length: 1 } });
});

test("audit tail takes a time once", async () => {
  expect(await tailOf("--since", "2h", "--from", "2h")).toMatchObject({ exitCode: 2, asked: [] });
  expect(await tailOf("--since", "2h", "--until", "3h")).toMatchObject({ exitCode: 2, asked: [] });
  expect(await tailOf("--since", "2026-11-30", "--until", "2026-11-30")).toMatchObject({ exitCode: 2, asked: [] });
  expect(await tailOf("--until", "2h", "--to", "2h")).toMatchObject({ exitCode: 2, asked: [] });
});
