import { spawn } from "node:child_process";
import { constants } from "node:os";
import { systemReason } from "../../core/error-code.js";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";

/** Passed on to the command. SIGKILL and SIGSTOP cannot be. */
const passedOn = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** The signals that have come, and where the next one goes. */
export type Signals = {
  first: (typeof passedOn)[number] | undefined;
  sendTo: ((signal: (typeof passedOn)[number]) => void) | undefined;
  release(): void;
};

/** From before anything is made that the command needs, so that no signal leaves it behind. */
export function catchSignals(): Signals {
  const listeners = passedOn.map((name) => {
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
 * @returns its exit code; 128 and the signal's number when a signal ended it, as a shell says it
 * @throws CommandFailure `notStarted`
 */
export function runCommand(command: readonly string[], environment: Environment, signals: Signals): Promise<number> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env: environment, stdio: "inherit" });
  signals.sendTo = (name) => {
    // Ctrl-C in a terminal reaches the command by itself; twice would mean "at once" to many programs.
    if (name !== "SIGINT" || !process.stdin.isTTY) child.kill(name);
  };
  return new Promise((done, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "ENOENT" ? "there is no such program in PATH" : systemReason(error);
      reject(new CommandFailure(exitCodes.notStarted, `${program}: ${why}.`));
    });
    child.once("exit", (code, signal) => done(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
}
