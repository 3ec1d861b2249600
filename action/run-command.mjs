import { spawn } from "node:child_process";
import { Failure } from "./failure.mjs";
import { mask, print } from "./runner.mjs";

/**
 * Runs a command of the command line with this node. What it has masked is masked before anything else is shown.
 * @throws Failure with what the command says
 */
export async function runCommand(program, args, environment) {
  const child = spawn(process.execPath, [program, ...args], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const [shown, said, exitCode] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    new Promise((resolve, reject) => child.once("error", reject).once("close", resolve)),
  ]);
  const lines = said.split("\n").filter((line) => line !== "");
  const isMask = (line) => line.startsWith("::add-mask::");
  for (const line of lines.filter(isMask)) mask(line);
  const rest = lines.filter((line) => !isMask(line));
  print(shown);
  if (exitCode !== 0) throw new Failure(rest.join("\n") || `factory-secrets ended with ${exitCode}.`);
  for (const line of rest) print(`${line}\n`);
}

async function collect(stream) {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  return text;
}
