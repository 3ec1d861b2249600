import { call } from "../operator/call.js";
import type { Argument, Row, Run } from "../operator/command.js";

type Operations = {
  ofFactory: "getFactoryAuditCheckpoint" | "getFactoryAuditProof";
  ofAll: "getAuditCheckpoint" | "getAuditProof";
};

const installation: Argument = ["--installation", "of the installation; needs an operator token"];

/** `audit checkpoint|prove`: print what the service says of a log. */
export const logRows: readonly Row[] = [
  {
    words: "audit checkpoint",
    about: "print the signed checkpoint of the log; keep it where the database is not",
    options: [installation],
    run: (run) => printText(run, { ofFactory: "getFactoryAuditCheckpoint", ofAll: "getAuditCheckpoint" }),
    example: "factory-secrets audit checkpoint > audit.checkpoint",
  },
  {
    words: "audit prove",
    about: "print a proof that an event is in the log, in the form of C2SP tlog-proof",
    options: [["--event <id>", "the id that `audit tail` and the export show", { isRequired: true }], installation],
    run: (run) => printText(run, { ofFactory: "getFactoryAuditProof", ofAll: "getAuditProof" }),
    example: "factory-secrets audit prove --event 5f0c1d7e8a2b4c6d9e0f1a2b3c4d5e6f > event.tlog-proof",
  },
];

async function printText({ context, client, given, isForProgram, print }: Run, { ofFactory, ofAll }: Operations) {
  const { installation: isOfAll, event } = given<{ installation?: boolean; event?: string }>();
  const operation = isOfAll === true || client.factory === undefined ? ofAll : ofFactory;
  const { text } = await call(client, operation, event === undefined ? {} : { event });
  if (isForProgram) return print({ text }, () => "");
  context.terminal.out(text.replace(/\n$/, ""));
}
