import { readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { clonePointer, run } from "../../../src/cli/packed-program.js";

afterEach(() => vi.restoreAllMocks());

const text = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
const [elsewhere = "", inClone = ""] = text.split("\nOnly in the clone");
const commandsIn = (part: string): string[][] =>
  [...part.matchAll(/^\| `([a-z -]+)` \|/gm)].map(([, command = ""]) => command.split(" "));

test("the packed program says where to run each command that only the clone has", async () => {
  const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const commands = commandsIn(inClone);
  expect(commands.length).toBeGreaterThan(10);
  for (const command of commands) {
    expect(await run([...command, "--out", "file"])).toBe(2);
    expect(String(err.mock.lastCall?.[0])).toMatch(
      new RegExp(`^factory-secrets ${command[0]}.* needs the server's settings, .* npx factory-secrets ${command[0]}`),
    );
  }
  expect(commandsIn(elsewhere).filter((command) => clonePointer(command) !== undefined)).toEqual([]);
});

test("a command that needs no settings of the server is not only in the clone", () => {
  for (const name of ["tail", "verify", "export", "keys"]) expect(clonePointer(["audit", name])).toBeUndefined();
});

test("any other word is an unknown command", async () => {
  const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(await run(["audit", "verfy"])).toBe(2);
  expect(err.mock.calls.join("")).toContain("Unknown command `audit verfy`");
});
