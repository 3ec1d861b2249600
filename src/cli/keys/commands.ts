import { Command, InvalidArgumentError } from "commander";
import { writeOut } from "../client/output.js";
import type { ServerDeps } from "../server-work.js";

/** It holds the server's own parts, which take long to load. */
const loadKeysWork = () => import("./keys-work.js");

const print = (text: string): void => void writeOut(`${text}\n`);

const rate = ["--per-second <number>", "how many to move in a second, at most", parseRate, 100] as const;

/** By the name of the command. */
const examples: Readonly<Record<string, string>> = {
  list: "npx factory-secrets keys list",
  add: "npx factory-secrets keys add kek-b0a3fa1d4f0c9d52",
  activate: "npx factory-secrets keys activate kek-b0a3fa1d4f0c9d52",
  rewrap: "npx factory-secrets keys rewrap --per-second 200",
  retire: "npx factory-secrets keys retire kek-6f1d1c4c3c1f2a10",
  "rotate-data-key": "npx factory-secrets keys rotate-data-key --factory acme",
};

/** `keys list|add|activate|rewrap|retire|rotate-data-key`. */
export function keysCommand(server: ServerDeps): Command {
  const keys = new Command("keys").description("the key-encryption keys, and the data keys of factories");
  keys
    .command("list")
    .description("print each key: its state, where it is, and what it wraps")
    .action(async () => {
      const { keyLines } = await loadKeysWork();
      for (const line of await keyLines(server)) print(line);
    });
  keys
    .command("add")
    .description("let the installation know a key of FACTORY_SECRETS_KEYS; it wraps nothing yet")
    .argument("<key>", "its id or its address, as keys list shows them")
    .action(async (key: string) => {
      const { addOne } = await loadKeysWork();
      print(await addOne(server, key));
    });
  keys
    .command("activate")
    .description("wrap what is new by this key, on every replica at once")
    .argument("<key>", "its id or its address")
    .option("--force", "also when a running replica does not hold it", false)
    .action(async (key: string, { force }: { force: boolean }) => {
      const { activateOne } = await loadKeysWork();
      print(await activateOne(server, key, force));
    });
  keys
    .command("rewrap")
    .description("wrap by the active key what another one wraps, also while the server runs")
    .argument("[key]", "the id of the one that is to be free; without it, all but the active one")
    .option(...rate)
    .action(async (key: string | undefined, { perSecond }: { perSecond: number }) => {
      const { rewrapAll } = await loadKeysWork();
      for (const line of await rewrapAll(server, key, perSecond)) print(line);
    });
  keys
    .command("retire")
    .description("end a key that nothing needs; afterwards it may leave the settings")
    .argument("<key>", "its id")
    .action(async (key: string) => {
      const { retireOne } = await loadKeysWork();
      print(await retireOne(server, key));
    });
  addDataKeyCommands(keys, server);
  for (const command of keys.commands) command.addHelpText("after", `\nExample:\n  ${examples[command.name()]}`);
  return keys.addHelpText(
    "after",
    "\nThey use the settings of the server, also while it runs. What was begun goes on when a command is ended: the server\ntakes it up, or the same command does.\n\nExample:\n  npx factory-secrets keys list",
  );
}

function addDataKeyCommands(keys: Command, server: ServerDeps): void {
  keys
    .command("rotate-data-key")
    .description("give a factory a new data key and seal its values anew, also while the server runs")
    .requiredOption("--factory <name>", "whose")
    .option(...rate)
    .action(async ({ factory, perSecond }: { factory: string; perSecond: number }) => {
      const { rotateDataKey } = await loadKeysWork();
      print(await rotateDataKey(server, factory, perSecond));
    });
}

function parseRate(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 10_000) throw new InvalidArgumentError("a whole number from 1 to 10000");
  return value;
}
