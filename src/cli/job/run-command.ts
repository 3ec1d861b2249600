import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemReason } from "../../core/error-code.js";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { formatConfig, readDockerConfig, withAuths, withoutStoreFor } from "./docker-config.js";
import type { RegistryToken } from "./registry-token.js";

/**
 * Runs a command with a temporary docker configuration that has the tokens. It is removed when the command ends, also
 * after a signal. The user's configuration is read and not changed; its folders (buildx/, cli-plugins/, contexts/) are
 * linked.
 * @returns the exit code of the command; 128 and the signal's number when a signal ended it, as in a shell
 * @throws CommandFailure `notStarted`
 */
export async function runWithLogin(
  environment: Environment,
  userDirectory: string,
  tokens: readonly RegistryToken[],
  command: readonly string[],
): Promise<number> {
  const signals = catchSignals();
  const directory = await mkdtemp(join(tmpdir(), "factory-secrets-exec-"));
  try {
    await fillDirectory(directory, userDirectory, tokens);
    if (signals.first !== undefined) return 128 + constants.signals[signals.first];
    return await runCommand(command, commandEnvironment(environment, directory, userDirectory), signals);
  } finally {
    // Removes the links, not their targets.
    await rm(directory, { recursive: true, force: true });
    signals.release();
  }
}

async function fillDirectory(
  directory: string,
  userDirectory: string,
  tokens: readonly RegistryToken[],
): Promise<void> {
  const config = withoutStoreFor(
    await readDockerConfig(userDirectory),
    tokens.map(({ registry }) => registry),
  );
  await writeFile(join(directory, "config.json"), formatConfig(withAuths(config, tokens)), { mode: 0o600 });
  for (const name of await readdir(userDirectory).catch(() => [])) {
    const target = resolve(userDirectory, name);
    // Only folders: the files there belong to config.json.
    const isFolder = await stat(target).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isFolder) await symlink(target, join(directory, name), "junction");
  }
}

function commandEnvironment(environment: Environment, directory: string, userDirectory: string): Environment {
  return {
    ...environment,
    DOCKER_CONFIG: directory,
    // podman, buildah and skopeo (containers-auth.json(5)).
    REGISTRY_AUTH_FILE: join(directory, "config.json"),
    // Else a new builder would be removed with the folder.
    BUILDX_CONFIG: environment.BUILDX_CONFIG || join(resolve(userDirectory), "buildx"),
  };
}

/** Signals that are passed on to the command. */
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** The first signal received, and where the next one goes. */
export type Signals = {
  first: (typeof forwarded)[number] | undefined;
  sendTo: ((signal: (typeof forwarded)[number]) => void) | undefined;
  release(): void;
};

/** Called before temporary files are made, so that no signal leaves them behind. */
export function catchSignals(): Signals {
  const listeners = forwarded.map((name) => {
    const listener = (): void => {
      signals.first ??= name;
      signals.sendTo?.(name);
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  const signals: Signals = {
    first: undefined,
    sendTo: undefined,
    release: () => {
      for (const off of listeners) off();
    },
  };
  return signals;
}

/**
 * Runs a command and passes signals on to it.
 * @returns its exit code; 128 and the signal's number when a signal ended it, as in a shell
 * @throws CommandFailure `notStarted`
 */
export function runCommand(command: readonly string[], environment: Environment, signals: Signals): Promise<number> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env: environment, stdio: "inherit" });
  signals.sendTo = (name) => {
    // The terminal sends Ctrl-C to the command too, and many programs quit at once on a second one.
    if (name !== "SIGINT" || !process.stdin.isTTY) child.kill(name);
  };
  return new Promise((done, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "ENOENT" ? "this program is not in PATH" : systemReason(error);
      reject(new CommandFailure(exitCodes.notStarted, `${program}: ${why}.`));
    });
    child.once("exit", (code, signal) => done(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
}
