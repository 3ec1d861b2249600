import { Command, InvalidArgumentError } from "commander";
import type { ServerDeps } from "../server-work.js";
import type { RestoreArguments } from "./restore-work.js";

/** `backup` and `restore`. They hold the server's own parts, which take long to load. */
export function backupCommands(server: ServerDeps): Command[] {
  return [
    new Command("backup")
      .description("write everything but the key-encryption key into a file, also while the server runs")
      .requiredOption("--out <file>", "a new file, or - for standard output")
      .addHelpText(
        "after",
        "\nWithout the key-encryption key a backup is useless: keep a copy of it, in another place.\n\nExample:\n  npx factory-secrets backup --out factory-secrets.$(date +%F).backup",
      )
      .action(async ({ out }: { out: string }) => {
        const { writeBackup } = await import("./backup-work.js");
        await writeBackup(server, out);
      }),
    new Command("restore")
      .description("check a backup from end to end, then put it into an empty database")
      .requiredOption("--in <file>", "what backup wrote")
      .option("--check", "only check the file; needs the key-encryption key and no database")
      .option("--sha256 <hex>", "refuse a file with another SHA-256 than backup printed", parseSha256)
      .option("--revoke-credentials", "withdraw every operator token, API token and OAuth client of the backup")
      .addHelpText(
        "after",
        "\nJobs and sessions of the backup are ended. Everything else is as it was when the backup was made: what was\nwithdrawn, denied or destroyed since is back.\n\nExample:\n  npx factory-secrets restore --check --in factory-secrets.2026-11-24.backup",
      )
      .action(async (given: RestoreArguments) => {
        const { readIntoDatabase } = await import("./restore-work.js");
        await readIntoDatabase(server, given);
      }),
  ];
}

function parseSha256(text: string): string {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new InvalidArgumentError("no SHA-256 in hexadecimal");
  return text;
}
