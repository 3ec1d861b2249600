import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, listAt, objectAt, textAt } from "../client/json-value.js";
import { documentOf } from "../client/print-document.js";
import { ask, pathOf } from "./ask-service.js";
import { type CommandDeps, type Run, serviceCommand } from "./define-command.js";
import { factoryOf } from "./operator-client.js";
import { cellAt, type OutputFlags } from "./print-reply.js";

type TailFlags = OutputFlags & {
  follow?: boolean;
  lines?: string;
  secret?: string;
  actor?: string;
  action?: string;
  installation?: boolean;
};

const pollMs = 2_000;
/** A page of the audit. An event may be committed after one with a higher id, but not after two hundred. */
const pageSize = 200;

/** `audit tail`. */
export const tailCommand = (deps: CommandDeps): Command =>
  serviceCommand<TailFlags>(
    deps,
    {
      name: "tail",
      about: "the last events, oldest first",
      options: [
        ["-f, --follow", "go on with those that come, until Ctrl-C"],
        ["-n, --lines <number>", "how many; 20 by default, at most 200"],
        ["--secret <name>", "only events about this secret"],
        ["--actor <id>", "only events of the credential with this id"],
        ["--action <action>", "only this action, such as registry-token.issued"],
        ["--installation", "of the whole installation; needs an operator token"],
      ],
      more: "With --output json each event is one line.",
      prints: true,
      example: "factory-secrets audit tail --follow --action registry-token.issued",
    },
    (run, flags) => tail(run, flags, pollMs),
  );

/** @param pauseMs - between two looks */
export async function tail(run: Run, flags: TailFlags, pauseMs: number): Promise<void> {
  const lines = flags.lines === undefined ? 20 : Number(flags.lines);
  if (!Number.isInteger(lines) || lines < 1 || lines > pageSize)
    throw new CommandFailure(exitCodes.usage, `--lines is a whole number from 1 to ${pageSize}.`);
  const seen = new Set<string>();
  const first = await newEvents(run, flags, seen, 1);
  await printEvents(run, flags, first.slice(-lines));
  while (flags.follow === true) {
    await sleep(pauseMs);
    await printEvents(run, flags, await newEvents(run, flags, seen, Number.POSITIVE_INFINITY));
  }
}

/** The events that were not there at the last look, oldest first; they are seen then. */
async function newEvents({ client }: Run, flags: TailFlags, seen: Set<string>, maxPages: number): Promise<unknown[]> {
  const { secret, actor, action, installation } = flags;
  const path = installation === true ? "/v1/audit" : pathOf("v1", "factories", factoryOf(client), "audit");
  const found: unknown[] = [];
  const oldest = [...seen].reduce<bigint | undefined>(
    (low, id) => (low === undefined || BigInt(id) < low ? BigInt(id) : low),
    undefined,
  );
  let pageToken: string | undefined;
  for (let page = 1; page <= maxPages; page += 1) {
    const query = { secret, actor, action, pageSize: String(pageSize), pageToken };
    const { body } = await ask(client, { method: "GET", path, query });
    const events = listAt(body, "items");
    const fresh = events.filter((event) => isAfter(event, oldest) && !seen.has(idOf(event)));
    found.push(...fresh);
    for (const event of fresh) seen.add(idOf(event));
    pageToken = textAt(body, "nextPageToken");
    if (pageToken === undefined || fresh.length < events.length) break;
  }
  forgetOldest(seen);
  return found.reverse();
}

const idOf = (event: unknown): string => textAt(event, "id") ?? "0";

const isAfter = (event: unknown, oldest: bigint | undefined): boolean =>
  oldest === undefined || BigInt(idOf(event)) > oldest;

/** What was seen longer ago than a page is not looked at again. */
function forgetOldest(seen: Set<string>): void {
  const kept = [...seen].sort((one, other) => (BigInt(one) < BigInt(other) ? 1 : -1)).slice(0, pageSize);
  seen.clear();
  for (const id of kept) seen.add(id);
}

async function printEvents(
  { context }: Run,
  { output = "table" }: TailFlags,
  events: readonly unknown[],
): Promise<void> {
  for (const event of events) {
    if (output === "json") context.terminal.out(JSON.stringify(event));
    else if (output === "yaml") context.terminal.out(`---\n${await documentOf(output, event)}`);
    else context.terminal.out(lineOf(context.paint, event));
  }
}

/** Members that are columns, or say nothing to a person. */
const notShown = ["id", "at", "action", "outcome", "actor", "factory", "requestId", "address"];

function lineOf(paint: Run["context"]["paint"], event: unknown): string {
  const outcome = cellAt(event, "outcome");
  const actor = objectAt(event, "actor");
  const others = Object.entries(isObject(event) ? event : {})
    .filter(([name]) => !notShown.includes(name))
    .map(
      ([name, value]) =>
        `${name}=${isObject(value) ? cellAt(value, "name") || cellAt({ value }, "value") : cellAt({ value }, "value")}`,
    );
  const shown = outcome === "allowed" ? outcome : paint.red(outcome);
  const head = `${cellAt(event, "at")}  ${shown}${" ".repeat(Math.max(0, 7 - outcome.length))}  ${paint.bold(cellAt(event, "action"))}`;
  return [head, `${cellAt(actor, "kind")} "${cellAt(actor, "name")}"`, ...others].join("  ");
}
