import { homedir } from "node:os";
import * as path from "node:path";
import { text } from "node:stream/consumers";
import { visibleInline } from "../core/visible-text.js";
import { CommandFailure } from "./client/command-failure.js";
import { writeErr, writeOut } from "./client/output.js";
import { answerDocker, cacheDirectoryOf } from "./job/credential-helper.js";
import { dockerConfigDirectory } from "./job/docker-config.js";

const takingInput: ReadonlySet<string> = new Set(["get", "store", "erase"]);

/**
 * Runs docker's credential helper. An error goes to standard output, where docker reads it, and to standard error: some
 * commands (`docker manifest inspect`) ignore the helper's answer and go on without a login, and a person would only see
 * that the registry refuses.
 * @returns the exit code
 */
export async function run(argv: readonly string[]): Promise<number> {
  const environment = process.env;
  const home = homedir();
  try {
    const deps = {
      environment,
      dockerDirectory: dockerConfigDirectory(environment, home, path),
      cacheDirectory: cacheDirectoryOf(environment, home),
      now: new Date(),
    };
    const input = takingInput.has(argv[0] ?? "") ? await text(process.stdin) : "";
    // docker shows the standard error of a helper.
    const warn = (line: string): void => writeErr(`${visibleInline(line)}\n`);
    const answer = await answerDocker({ ...deps, warn }, argv[0], input);
    if (answer !== "") writeOut(`${answer}\n`);
    return 0;
  } catch (error) {
    const isExpected = error instanceof CommandFailure;
    const message = isExpected ? error.message : "Unexpected error in factory-secrets.";
    // One line: clients quote the answer in their own message.
    const line = visibleInline(message.replace(/\s*\n\s*/g, " "));
    writeOut(`${line}\n`);
    writeErr(`docker-credential-factory-secrets: ${line}\n`);
    return 1;
  }
}
