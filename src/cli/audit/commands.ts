import { Command, InvalidArgumentError, Option } from "commander";
import { writeOut } from "../client/output.js";
import { timeOf } from "../client/read-time.js";
import type { ServerDeps } from "../server-work.js";
import type { ExportArguments } from "./audit-work.js";
import { verifyCommand } from "./verify-command.js";
import type { VerifyArguments } from "./verify-file.js";

/** Loaded when it is needed: it loads the server. */
const loadAuditWork = () => import("./audit-work.js");

const print = (text: string): void => void writeOut(`${text}\n`);

const example = (lines: string): string => `\nExample:\n${lines.replace(/^/gm, "  ")}`;

/** `audit verify|export|keys|rotate-key|prune`. */
export function auditCommand(server: ServerDeps): Command {
  const audit = new Command("audit")
    .description("read, check, export and shorten the audit")
    .addHelpText(
      "after",
      example(
        "npx factory-secrets audit export --out audit.ndjson\nnpx factory-secrets audit verify --file audit.ndjson",
      ),
    );
  const verifyHere = async (given: VerifyArguments) => (await loadAuditWork()).verifyAudit(server, given);
  audit.addCommand(
    verifyCommand(
      verifyHere,
      "an export in NDJSON, checked offline; without it, the database of the server's settings",
    ),
  );
  audit
    .command("export")
    .description("write the events, oldest first, up to checkpoints that are signed for it")
    .option("--factory <name>", "only the log of this factory")
    .addOption(new Option("--format <format>", "ndjson can be verified").choices(["ndjson", "cef"]).default("ndjson"))
    .option("--out <file>", "a new file; without it, standard output")
    .addHelpText("after", example("npx factory-secrets audit export --factory acme --out acme.ndjson"))
    .action(async (given: ExportArguments) => {
      const { exportAudit } = await loadAuditWork();
      await exportAudit(server, given);
    });
  addKeyCommands(audit, server);
  return audit;
}

/** `keys|rotate-key|prune`. */
function addKeyCommands(audit: Command, server: ServerDeps): void {
  audit
    .command("keys")
    .description("print the public keys that sign the audit, PEM; keep them where the database is not")
    .addHelpText("after", example("npx factory-secrets audit keys > audit-keys.pem"))
    .action(async () => {
      const { auditKeys } = await loadAuditWork();
      const keys = await auditKeys(server);
      if (keys.length === 0)
        server.say("No key exists yet. The server makes the first one with its first checkpoint, within a minute.");
      for (const key of keys) writeOut(key);
    });
  audit
    .command("rotate-key")
    .description("make a new key sign checkpoints, also while the server runs; print its public half, PEM")
    .addHelpText("after", example("npx factory-secrets audit rotate-key >> audit-keys.pem"))
    .action(async () => {
      const askedAtMs = performance.now();
      const { rotateAuditKey } = await loadAuditWork();
      writeOut(await rotateAuditKey(server, askedAtMs));
    });
  audit
    .command("prune")
    .description("drop the events that checkpoints of before that time cover. Export them first")
    .requiredOption("--before <time>", "RFC 3339, a date, or a length such as 365d", parseTime)
    .addHelpText("after", example("npx factory-secrets audit prune --before 2026-01-01T00:00:00Z"))
    .action(async ({ before }: { before: Date }) => {
      const { pruneBefore } = await loadAuditWork();
      print(await pruneBefore(server, before));
    });
}

function parseTime(text: string): Date {
  const time = timeOf(text, "past", new Date());
  if (time === undefined) throw new InvalidArgumentError("no time: RFC 3339, a date, or a length such as 90d");
  if (time > new Date()) throw new InvalidArgumentError("that is in the future");
  return time;
}
