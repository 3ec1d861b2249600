import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, test, vi } from "vitest";
import { isForJob } from "../../../src/cli/client/run-commands.js";
import { run } from "../../../src/cli/factory-secrets.js";
import { commandTree } from "../../../src/cli/operator/completion.js";
import { run as runPacked } from "../../../src/cli/packed-program.js";

/** What a program prints, in this process. */
async function said(program: typeof run, ...argv: string[]): Promise<string> {
  const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  try {
    expect(await program(argv)).toBe(0);
    return out.mock.calls.map(([text]) => String(text)).join("");
  } finally {
    out.mockRestore();
  }
}

/** The path of each command, as its help lists them. */
async function commandsBelow(program: typeof run, path: readonly string[] = []): Promise<string[][]> {
  const help = await said(program, ...path, "--help");
  const listed = help.split("\nCommands:\n")[1]?.split("\n\n")[0] ?? "";
  const names = [...listed.matchAll(/^ {2}([a-z][\w-]*)/gm)]
    .map(([, name = ""]) => name)
    .filter((name) => name !== "help");
  const below: string[][] = [];
  for (const name of names) below.push(...(await commandsBelow(program, [...path, name])));
  return [[...path], ...below];
}

describe.each([
  ["of the clone", run],
  ["that other machines get", runPacked],
])("the program %s", (_, program) => {
  test("shows an example in the help of every command", async () => {
    const commands = await commandsBelow(program);
    expect(commands.length).toBeGreaterThan(60);
    const without: string[] = [];
    for (const path of commands) {
      const help = await said(program, ...path, "--help");
      const example = help.split("\nExample:\n")[1] ?? "";
      // An example of the very command, unless that only holds others.
      const isGroup = commands.some(
        (other) => other.length > path.length && path.every((name, at) => other[at] === name),
      );
      const words = isGroup ? "factory-secrets" : `factory-secrets ${path.join(" ")}`;
      if (!example.includes(words)) without.push(path.join(" "));
    }
    expect(without).toEqual([]);
  });
});

test("the program of the clone has every command that other machines get", async () => {
  const own = (await commandsBelow(run)).map((path) => path.join(" "));
  const packed = (await commandsBelow(runPacked)).map((path) => path.join(" "));
  expect(packed.filter((path) => !own.includes(path))).toEqual([]);
  // What is left needs the server's own settings.
  const ofServer = /^(audit (rotate-key|prune)|operator-token|(signing-)?keys( .*)?|backup|restore)$/;
  expect(own.filter((path) => !packed.includes(path) && !ofServer.test(path))).toEqual([]);
  expect(packed.filter((path) => ofServer.test(path))).toEqual([]);
});

test("a command of a job, and --version, load nothing of the operator's commands", () => {
  const dist = new URL("../../../dist/", import.meta.url);
  const loaded = new Set<string>();
  const load = (url: URL): void => {
    if (loaded.has(url.href)) return;
    loaded.add(url.href);
    const imports = readFileSync(url, "utf8").matchAll(/^(?:import|\} from|export .* from) ?[^"\n]*"(\.[^"]+)";$/gm);
    for (const [, path = ""] of imports) load(new URL(path, url));
  };
  load(new URL("cli/factory-secrets.js", dist));
  const modules = [...loaded].flatMap((url) => [...readFileSync(new URL(url), "utf8").matchAll(/^\/\/ (src\/.*)$/gm)]);
  const names = modules.map(([, name = ""]) => name);
  expect(names).toContain("src/cli/job/job-commands.ts");
  expect(names.filter((name) => /^src\/cli\/(?:operator|server)\//.test(name))).toEqual([]);
  const job = [new Command("ci"), new Command("check")];
  for (const argv of [["--version"], ["ci", "login"], ["--url", "https://x", "check"]])
    expect(isForJob(job, argv)).toBe(true);
  for (const argv of [["secrets", "list"], ["--help"], [], ["--url", "ci", "secrets"]])
    expect(isForJob(job, argv)).toBe(false);
});

describe("what is mistyped", () => {
  /** What a program says on standard error. */
  async function complaint(exitCode: number, ...argv: string[]): Promise<string> {
    const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    try {
      expect(await run(argv)).toBe(exitCode);
      expect(out.mock.calls).toEqual([]);
      return err.mock.calls.map(([text]) => String(text)).join("");
    } finally {
      out.mockRestore();
      err.mockRestore();
    }
  }

  test("a group without a command prints its help on standard error and ends with 1", async () => {
    for (const group of [["secrets"], ["devices", "authorities"], ["ci"], ["audit"], ["signing-keys"], []])
      expect(await complaint(1, ...group)).toMatch(/^Usage: factory-secrets [\s\S]*\nCommands:\n/);
  });

  test.each([
    [["secrets", "lst", "--json"], "Unknown command `secrets lst`. Did you mean `secrets list`?"],
    [["--json", "secrets", "remove", "x"], "Unknown command `secrets remove`. Did you mean `secrets rm`?"],
    [["secret", "list"], "Unknown command `secret`. Did you mean `secrets`?"],
    [["devices", "authorities", "shwo"], "Did you mean `devices authorities show`?"],
    [["ci", "lgin"], "Unknown command `ci lgin`. Did you mean `ci login`?"],
    [["secrets", "xyzzy"], "Unknown command `secrets xyzzy`. To see all: factory-secrets secrets --help"],
  ])("of %j the nearest command is suggested", async (argv, sentence) => {
    expect(await complaint(2, ...argv)).toContain(sentence);
  });
});

describe("completion", () => {
  const hasShell = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

  /** What bash offers after these words, the last of which is being typed. */
  async function offered(...words: string[]): Promise<string[]> {
    const script = await said(run, "completion", "bash");
    const line = ["factory-secrets", ...words].map((word) => `'${word}'`).join(" ");
    const asking = `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length}; _factory_secrets; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["--norc", "-c", asking], { encoding: "utf8" })
      .split("\n")
      .filter((word) => word !== "");
  }

  test("offers commands, options and the words that an option takes", async () => {
    expect(await offered("sec")).toEqual(["secrets"]);
    expect(await offered("secrets", "ro")).toEqual(["rollback"]);
    expect(await offered("secrets", "list", "--d")).toEqual(["--deleted"]);
    expect(await offered("secrets", "list", "--output", "")).toEqual(["table", "json", "yaml"]);
    expect(await offered("--url", "https://x", "audit", "t")).toEqual(["tail"]);
    expect(await offered("devices", "authorities", "set-")).toEqual(["set-policy", "set-crl"]);
    expect(await offered("completion", "")).toEqual([]);
  });

  test.each(["bash", "zsh", "fish"])(
    "for %s is a script that the shell can read, and names every command",
    async (shell) => {
      const script = await said(run, "completion", shell);
      for (const path of await commandsBelow(run)) if (path.length > 0) expect(script).toContain(`/${path.join("/")}`);
      if (!hasShell(shell)) return;
      const directory = mkdtempSync(join(tmpdir(), "completion-"));
      writeFileSync(join(directory, "script"), script);
      execFileSync(shell, ["-n", join(directory, "script")], { stdio: "pipe" });
      rmSync(directory, { recursive: true });
    },
  );

  test("is refused for another shell", async () => {
    const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    expect(await run(["completion", "powershell"])).toBe(2);
    expect(err.mock.calls.join("")).toContain("Allowed choices are bash, zsh, fish.");
    err.mockRestore();
  });

  test("knows what takes a file", () => {
    const program = new Command("x").option("--from-file <file>").option("--name <name>").option("--all");
    const [node] = commandTree(program);
    expect(node?.options.map(({ isFile, takesValue }) => [isFile, takesValue])).toEqual([
      [true, true],
      [false, true],
      [false, false],
      [false, false],
    ]);
  });
});
