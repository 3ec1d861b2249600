import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, listAt, objectAt, textAt } from "../client/json-value.js";
import { documentOf } from "../client/print-document.js";
import { call } from "./call.js";
import type { Row, Run } from "./command.js";
import { cellAt, formOf, type OutputFlags, type Paint } from "./print.js";
import { past } from "./secret-commands.js";

type TailFlags = OutputFlags & {
  follow?: boolean;
  lines?: string;
  secret?: string;
  actor?: string;
  action?: string;
  outcome?: string;
  registry?: string;
  since?: string;
  until?: string;
  from?: string | undefined;
  to?: string | undefined;
  installation?: boolean;
};

const pollMs = 2_000;
/** An event may be committed after one with a higher id, but not after this many. */
const pageSize = 200;

export const tailRow: Row = {
  words: "audit tail",
  about: "the last events, oldest first",
  options: [
    ["-f, --follow", "continue with new events, until Ctrl-C"],
    ["-n, --lines <number>", "how many, at most 200; 20 by default, all with --since"],
    ["--secret <name>", "only events about this secret"],
    ["--actor <id>", "only events of the credential with this id"],
    ["--action <action>", "only this action, such as registry-token.issued"],
    ["--outcome <outcome>", "only allowed, refused or failed events"],
    ["--registry <host>", "only events about this registry, by its host or the id of its entry"],
    ["--since <time>", "only events from this time on: RFC 3339, a date, or a length such as 2h or 7d"],
    ["--until <time>", "only events before this time, in the same forms"],
    ["--from <time>", "the same as --since, as the API calls it"],
    ["--to <time>", "the same as --until"],
    ["--installation", "of the whole installation; needs an operator token"],
  ],
  more: "With --output json each event is one line, and --query is applied to each event.",
  run: (run) => tail(run, pollMs),
  example:
    "factory-secrets audit tail --follow --action registry-token.issued\nfactory-secrets audit tail --since 2h --outcome refused",
};

/** @param pauseMs - between two requests */
async function tail(run: Run, pauseMs: number): Promise<void> {
  const flags = run.given<TailFlags>();
  const lines = flags.lines === undefined ? 20 : Number(flags.lines);
  if (!Number.isInteger(lines) || lines < 1 || lines > pageSize)
    throw new CommandFailure(exitCodes.usage, `--lines takes a whole number from 1 to ${pageSize}.`);
  const range = rangeOf(flags);
  const isWhole = flags.lines === undefined && range.from !== undefined;
  const filters = { ...flags, ...range };
  const seen = new Set<string>();
  const first = await newEvents(run, filters, seen, isWhole ? Number.POSITIVE_INFINITY : 1);
  await printEvents(run, flags, isWhole ? first : first.slice(-lines));
  while (flags.follow === true) {
    await sleep(pauseMs);
    await printEvents(run, flags, await newEvents(run, filters, seen, Number.POSITIVE_INFINITY));
  }
}

/** The time range for the API. Read once, so that `2h` stays the same time while following. */
function rangeOf({ since, until, from, to }: TailFlags): { from: string | undefined; to: string | undefined } {
  if (since !== undefined && from !== undefined)
    throw new CommandFailure(exitCodes.usage, "--since and --from are the same. Pass one of them.");
  if (until !== undefined && to !== undefined)
    throw new CommandFailure(exitCodes.usage, "--until and --to are the same. Pass one of them.");
  const read = (time: string | undefined) => (time === undefined ? undefined : past(time));
  const range = { from: read(since ?? from), to: read(until ?? to) };
  if (range.from !== undefined && range.to !== undefined && Date.parse(range.from) >= Date.parse(range.to))
    throw new CommandFailure(
      exitCodes.usage,
      `--since is ${range.from} and --until is ${range.to}: --until must be later.`,
    );
  return range;
}

/** The events that are new since the last request, oldest first. Marks them as seen. */
async function newEvents({ client }: Run, flags: TailFlags, seen: Set<string>, maxPages: number): Promise<unknown[]> {
  const { secret, actor, action, outcome, registry, from, to, installation } = flags;
  const id = installation === true ? "listAudit" : "listFactoryAudit";
  const found: unknown[] = [];
  let pageToken: string | undefined;
  for (let page = 1; page <= maxPages; page += 1) {
    const query = { secret, actor, action, outcome, registry, from, to, pageSize, pageToken };
    const { body } = await call(client, id, query);
    const events = listAt(body, "items");
    const fresh = events.filter((event) => !seen.has(idOf(event)));
    found.push(...fresh);
    pageToken = textAt(body, "nextPageToken");
    if (pageToken === undefined || fresh.length < events.length) break;
  }
  const oldestFirst = found.reverse();
  for (const event of oldestFirst) seen.add(idOf(event));
  forgetOldest(seen);
  return oldestFirst;
}

const idOf = (event: unknown): string => textAt(event, "id") ?? "";

/**
 * Keeps the last two pages of seen events (a Set keeps the order of insertion). A request ends at a page with a seen
 * event, so it reaches no further back.
 */
function forgetOldest(seen: Set<string>): void {
  const tooMany = seen.size - 2 * pageSize;
  for (const id of [...seen].slice(0, Math.max(0, tooMany))) seen.delete(id);
}

async function printEvents(run: Run, flags: TailFlags, events: readonly unknown[]): Promise<void> {
  const { terminal, paint } = run.context;
  for (const event of events) {
    const form = formOf(flags);
    if (flags.query !== undefined) await run.print(event, () => "");
    else if (form === "json") terminal.out(JSON.stringify(event));
    else if (form === "yaml") terminal.out(`---\n${await documentOf(form, event)}`);
    else terminal.out(lineOf(paint, event, flags.installation === true));
  }
}

/** Members that are columns, or do not help a person. */
const notShown = ["id", "at", "action", "outcome", "actor", "factory", "requestId", "clientRequestId", "address"];

/** @param namesFactory - the events are of several factories */
function lineOf(paint: Paint, event: unknown, namesFactory: boolean): string {
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
  const factory = namesFactory ? [cellAt(objectAt(event, "factory"), "name") || "(installation)"] : [];
  return [head, ...factory, `${cellAt(actor, "kind")} "${cellAt(actor, "name")}"`, ...others].join("  ");
}
