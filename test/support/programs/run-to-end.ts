import { spawn } from "node:child_process";
import { recordText } from "../leak-watch.js";

export type ProgramResult = { exitCode: number; stdout: string; stderr: string };

/**
 * Runs a program to its end with exactly this environment, and gives back what it said, which is searched for secrets.
 * @param input - all of its standard input
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  input = "",
): Promise<ProgramResult> {
  const child = spawn(program, args, { env: environment, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined).end(input);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject).once("close", (code) => resolve(code ?? -1));
  });
  recordText(`${stdout}\n${stderr}`);
  return { exitCode, stdout, stderr };
}
