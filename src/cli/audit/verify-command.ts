import { Command } from "commander";
import { writeOut } from "../client/output.js";
import type { VerifyArguments } from "./verify-file.js";

/**
 * `audit verify`, on the server's machine and on every other one: an export is checked offline.
 * @param withoutFile - what is checked when no file is named
 * @param fileIs - about the option
 */
export function verifyCommand(withoutFile: (given: VerifyArguments) => Promise<string>, fileIs: string): Command {
  return new Command("verify")
    .description(
      "check that no event was altered, removed or inserted; exit code 0: whole, 1: broken, 2: could not be checked",
    )
    .option("--file <file>", fileIs)
    .option("--public-key <file>", "the public keys to believe, PEM (see: audit keys)")
    .option(
      "--checkpoint <file...>",
      "older checkpoints that were kept elsewhere: signed notes, or lines that were shipped",
    )
    .addHelpText("after", "\nExample:\n  factory-secrets audit verify --file audit.ndjson --public-key audit-keys.pem")
    .action(async ({ file, ...given }: VerifyArguments & { file?: string }) => {
      writeOut(`${file === undefined ? await withoutFile(given) : await verifyOffline(file, given)}\n`);
    });
}

async function verifyOffline(file: string, given: VerifyArguments): Promise<string> {
  // Loaded when it is needed: no other command reads exports.
  const { verifyFile } = await import("./verify-file.js");
  return verifyFile(file, given);
}
