import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { run } from "../../../../src/cli/factory-secrets.js";
import { type KeyedService, startKeyedService } from "../../../support/keys/keyed-service.js";
import { openEverything } from "../../../support/keys/open-everything.js";
import { secretValue } from "../../../support/leak-watch.js";
import { startTestService } from "../../../support/test-service.js";

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService();
  await keyed.service.createFactory("acme");
  for (const name of ["a", "b"]) {
    const path = `/v1/factories/acme/secrets/${name}`;
    await keyed.service.as(keyed.service.operatorToken).put(path).send({ value: secretValue() }).expect(201);
  }
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => keyed.service.close());

/** Runs the command as an operator on the server's machine would, while the server runs. */
async function keys(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const { service, environment } = keyed;
  vi.stubEnv("DATABASE_URL", service.databaseUrl);
  vi.stubEnv("FACTORY_SECRETS_KEY", service.key);
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    const code = await run(["keys", ...argv]);
    const textOf = (spy: typeof out) => spy.mock.calls.map(([text]) => String(text)).join("");
    return { code, out: textOf(out), err: textOf(err) };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

// In the order in which an operator types them.
describe("keys", () => {
  it("list shows each key with its state, where it is, what it wraps and what to do", async () => {
    const { code, out } = await keys("list");
    expect(code).toBe(0);
    expect(out.split("\n")).toEqual([
      expect.stringMatching(`^${keyed.first}  active  env:FACTORY_SECRETS_KEY  wraps \\d data keys`),
      `${keyed.second}  new  env:SECOND_KEY  to add it: npx factory-secrets keys add ${keyed.second}`,
      "",
    ]);
  });

  it("list counts the running replicas that do not hold a key", async () => {
    const { service, second } = keyed;
    const lineOfSecond = async () => (await keys("list")).out.split("\n").find((line) => line.startsWith(second));
    const replicas = [await startTestService({}, service)];
    await expect.poll(lineOfSecond).toMatch(/ {2}1 running replica does not hold it$/);
    replicas.push(await startTestService({}, service));
    await expect.poll(lineOfSecond).toMatch(/ {2}2 running replicas do not hold it$/);
    for (const replica of replicas) await replica.close();
    await expect.poll(lineOfSecond).not.toContain("running");
  });

  it("refuses what cannot be, with a sentence and exit code 1", async () => {
    for (const [argv, sentence] of [
      [["add", "kek-0000000000000000"], /No key "kek-0000000000000000" is in the settings here/],
      [["activate", keyed.second], /was not added yet. Add it first: npx factory-secrets keys add/],
      [["retire", keyed.first], /is the active one/],
      [["rewrap", keyed.first], /is the active one/],
      [["rotate-data-key", "--factory", "nobody"], /There is no factory "nobody"/],
    ] as const) {
      const { code, err, out } = await keys(...argv);
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toMatch(sentence);
    }
    expect((await keys("rewrap", "--per-second", "0")).code).toBe(2);
  });

  it("add, activate, rewrap and retire move everything to a new key, each saying what comes next", async () => {
    const { first, second } = keyed;
    expect((await keys("add", "env:SECOND_KEY")).out).toContain(`keys activate ${second}`);
    expect((await keys("activate", second)).out).toContain("keys rewrap");
    expect((await keys("retire", first)).err).toMatch(/still wraps \d data keys/);
    const { code, out } = await keys("rewrap", "--per-second", "1000");
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining(`keys retire ${first}`) });
    expect((await keys("rewrap")).out).toBe("Nothing to do: the active key wraps everything.\n");
    expect((await keys("retire", first)).out).toContain("You may remove it from the settings");
    expect((await keys("list")).out).toMatch(new RegExp(`${first}  retired  env:FACTORY_SECRETS_KEY\n`));
    const { wrapped } = await openEverything(keyed.service.database, await keyed.ring());
    expect([...wrapped.keys()]).toEqual([second]);
  });

  it("rotate-data-key seals a factory's values anew, and says how many", async () => {
    const before = await openEverything(keyed.service.database, await keyed.ring());
    const { code, out } = await keys("rotate-data-key", "--factory", "acme");
    expect({ code, out }).toEqual({ code: 0, out: "Resealed 2 versions of acme. The old data key is destroyed.\n" });
    const after = await openEverything(keyed.service.database, await keyed.ring());
    expect(after.values).toEqual(before.values);
    expect([...after.dataKeys.values()]).not.toEqual([...before.dataKeys.values()]);
  });

  it("leaves events of the command line", async () => {
    const events = await keyed.events();
    expect(events.map(({ action }) => action)).toEqual([
      ...["key.added", "key.activated", "key.rewrap-started", "key.rewrapped", "key.retired"],
      ...["data-key.replaced", "data-key.resealed"],
    ]);
    expect(events[0]).toMatchObject({ actor: { kind: "service", name: "command line" } });
  });
});
