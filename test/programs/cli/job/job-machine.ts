import { spawn } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { recordText } from "../../../support/leak-watch.js";

const bin = fileURLToPath(new URL("../../../../bin", import.meta.url));

export type CommandResult = { exitCode: number; signal: NodeJS.Signals | null; stdout: string; stderr: string };

export type RunOptions = {
  environment?: Record<string, string>;
  input?: string;
  /** Further arguments of node itself. */
  nodeArguments?: readonly string[];
  /** Is given the process as soon as it has said something. */
  onOutput?: (pid: number, stdout: string) => void;
};

/** A machine that runs a job: a home, a folder for temporary files, and an environment of its own. */
export type JobMachine = {
  home: string;
  environment: Record<string, string>;
  /** `factory-secrets ARGUMENTS...`. */
  run(args: readonly string[], options?: RunOptions): Promise<CommandResult>;
  /** `docker-credential-factory-secrets COMMAND`, as docker runs it. */
  helper(command: string, input: string, environment?: Record<string, string>): Promise<CommandResult>;
  configPath: string;
  writeConfig(config: unknown): void;
  readConfig(): unknown;
  /** Names below the home and the temporary folder, links included. */
  files(): string[];
  /** What is in them. */
  texts(): string[];
  /** Keeps all that stands on this machine and in its environment for the search for secrets; removes it. */
  close(): void;
};

export function openJobMachine(environment: Record<string, string>): JobMachine {
  const directory = mkdtempSync(join(tmpdir(), "job-machine-"));
  const home = join(directory, "home");
  const temporary = join(directory, "tmp");
  for (const folder of [home, temporary]) mkdirSync(folder);
  const path = [dirname(process.execPath), bin, process.env.PATH ?? ""].join(delimiter);
  const own = { PATH: path, HOME: home, TMPDIR: temporary, ...environment };
  const configPath = join(home, ".docker", "config.json");
  const start = (program: string, args: readonly string[], options: RunOptions = {}) =>
    runProgram([...(options.nodeArguments ?? []), join(bin, program), ...args], {
      ...options,
      environment: { ...own, ...options.environment },
    });
  return {
    home,
    environment: own,
    configPath,
    run: (args, options) => start("factory-secrets.mjs", args, options),
    helper: (command, input, extra = {}) =>
      start("docker-credential-factory-secrets.mjs", [command], { input, environment: extra }),
    writeConfig(config) {
      mkdirSync(dirname(configPath), { recursive: true });
      writeFileSync(configPath, typeof config === "string" ? config : JSON.stringify(config, undefined, "\t"));
    },
    readConfig: () => JSON.parse(readFileSync(configPath, "utf8")),
    files: () => filesBelow(directory).map((name) => name.slice(directory.length + 1)),
    texts: () => textsBelow(directory),
    close() {
      for (const text of textsBelow(directory)) recordText(text);
      recordText(JSON.stringify(own));
      rmSync(directory, { recursive: true });
    },
  };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? filesBelow(path) : [path];
    })
    .sort();
}

function textsBelow(directory: string): string[] {
  const files = filesBelow(directory).filter((file) => lstatSync(file).isFile());
  return files.map((file) => readFileSync(file, "utf8"));
}

function runProgram(args: readonly string[], options: RunOptions): Promise<CommandResult> {
  const child = spawn(process.execPath, args, { env: options.environment, stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    options.onOutput?.(child.pid ?? 0, stdout);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.on("error", () => undefined).end(options.input ?? "");
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("close", (code, signal) => {
      recordText(`${stdout}\n${stderr}`);
      resolve({ exitCode: code ?? -1, signal, stdout, stderr });
    });
  });
}
