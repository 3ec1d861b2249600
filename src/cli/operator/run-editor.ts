import { spawn } from "node:child_process";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";

/**
 * Opens a file in the person's editor and waits for its end. VISUAL and EDITOR are commands with arguments of their
 * own, read by a shell, as git reads them.
 * @throws CommandFailure when it ends badly
 */
export async function runEditor(environment: Environment, path: string): Promise<void> {
  const editor = environment.VISUAL || environment.EDITOR || "vi";
  const isWindows = process.platform === "win32";
  // The path is an argument of its own: no shell reads it.
  const [program, args] = isWindows
    ? (["cmd.exe", ["/d", "/s", "/c", `${editor} "${path}"`]] as const)
    : (["sh", ["-c", `${editor} "$@"`, editor, path]] as const);
  // Ctrl-C is the editor's while it runs.
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  const child = spawn(program, args, { stdio: "inherit", env: environment, windowsVerbatimArguments: isWindows });
  const code = await new Promise<number>((resolve, reject) => {
    child.on("error", reject).once("exit", (exitCode) => resolve(exitCode ?? 1));
  }).finally(() => process.off("SIGINT", ignore));
  if (code !== 0)
    throw new CommandFailure(
      exitCodes.failed,
      `The editor (${editor}) ended with exit code ${code}. Set EDITOR to another.`,
    );
}
