import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AuditWriter } from "../../audit/record.js";
import { activateKey, addKey, retireKey, wrapsText } from "../../keys/change-keys.js";
import { type ListedKey, listKeys } from "../../keys/list-keys.js";
import { findFactoryRef } from "../../keys/store.js";
import { runTask, startReseal, startRewrap, type TaskDeps, workOf } from "../../keys/tasks/run-task.js";

import { claimTask, findTask, releaseTask, type TaskRow } from "../../keys/tasks/store.js";

import { FactoryKeys } from "../../secrets/factory-keys.js";
import { openKeys } from "../../service/key-source.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar } from "../client/output.js";
import { dataDirectoryOf, type ServerDeps, withDatabase } from "./with-database.js";

/** The commands act as the service itself. */
const actor = { kind: "service", id: "", name: "command line" } as const;
const pollMs = 300;

/** A line for each key. @throws CommandFailure as `withDatabase`, like all others here */
export function keyLines(server: ServerDeps): Promise<string[]> {
  return withKeys(server, async (deps) => (await listKeys(deps)).map(keyLine));
}

export function addOne(server: ServerDeps, key: string): Promise<string> {
  return withKeys(server, async (deps) => {
    const id = await addKey(deps, { key, actor });
    return `Added ${id}. To make it the active key: npx factory-secrets keys activate ${id}`;
  });
}

export function activateOne(server: ServerDeps, key: string, forced: boolean): Promise<string> {
  return withKeys(server, async (deps) => {
    const id = await activateKey(deps, { key, forced, actor });
    return `${id} is the active key. To wrap existing keys with it too: npx factory-secrets keys rewrap`;
  });
}

export function retireOne(server: ServerDeps, key: string): Promise<string> {
  return withKeys(server, async (deps) => {
    const id = await retireKey(deps, { key: deps.keys.find(key)?.id ?? key, actor });
    return `${id} is retired. You may remove it from the settings; keep a copy as long as you keep backups that need it.`;
  });
}

/** Rewraps what one key wraps, or all but the active one. @throws CommandFailure when something does not open */
export function rewrapAll(server: ServerDeps, key: string | undefined, perSecond: number): Promise<string[]> {
  return withKeys(server, async (deps) => {
    const wanted = key === undefined ? await keysToFree(deps) : [deps.keys.find(key)?.id ?? key];
    const lines: string[] = [];
    for (const id of wanted) {
      const task = await complete(deps, await startRewrap(deps, { key: id, perSecond, actor }), "Rewrapping");
      lines.push(`Rewrapped ${task.done} keys. To retire ${id}: npx factory-secrets keys retire ${id}`);
    }
    return lines.length > 0 ? lines : ["Nothing to do: the active key wraps everything."];
  });
}

/** @throws CommandFailure when something does not open */
export function rotateDataKey(server: ServerDeps, name: string, perSecond: number): Promise<string> {
  return withKeys(server, async (deps) => {
    const factory = await findFactoryRef(deps.prisma, name);
    if (!factory) throw new CommandFailure(exitCodes.failed, `There is no factory "${name}".`);
    const task = await complete(deps, await startReseal(deps, { factory, perSecond, actor }), "Resealing");
    return `Resealed ${task.done} versions of ${name}. The old data key is destroyed.`;
  });
}

async function keysToFree(deps: TaskDeps): Promise<string[]> {
  const listed = await listKeys(deps);
  return listed.flatMap(({ id, state, wraps }) => (state === "known" && wrapsText(wraps) !== undefined ? [id] : []));
}

/** Works on a task until it ends, or shows the progress of the process that does. */
async function complete(deps: TaskDeps, begun: TaskRow, label: string): Promise<TaskRow> {
  const holder = randomUUID();
  const bar = progressBar(label);
  try {
    for (let task: TaskRow | undefined = begun; task; task = await findTask(deps.prisma, begun.id)) {
      if (task.state === "failed")
        throw new CommandFailure(
          exitCodes.failed,
          task.problem ?? "The task failed, without a reason. Look at the log of the server.",
        );
      if (task.state === "done") return task;
      bar.show(task.done, task.total);
      const claimed = await claimTask(deps.prisma, task.id, holder);
      if (claimed) await work(deps, claimed, holder, bar.show);
      else await sleep(pollMs);
    }
  } finally {
    bar.clear();
  }
  throw new CommandFailure(
    exitCodes.failed,
    "The task was removed meanwhile. To see the state of the keys: npx factory-secrets keys list",
  );
}

async function work(deps: TaskDeps, task: TaskRow, holder: string, onProgress: (done: number, total: number) => void) {
  const run = { holder, signal: new AbortController().signal, onProgress };
  try {
    await runTask(deps, task, workOf(deps, task.subject), run);
  } catch (error) {
    // So that a server can take the task up at once.
    await releaseTask(deps.prisma, { id: task.id, holder, problem: undefined, afterSeconds: 0 }).catch(() => undefined);
    throw error;
  }
}

const replicasText = (replicas: number): string =>
  replicas === 1 ? "1 running replica does not hold it" : `${replicas} running replicas do not hold it`;

function keyLine({ id, source, state, wraps, held, replicasWithout, problem }: ListedKey): string {
  const notes = [
    wrapsText(wraps) === undefined ? undefined : `wraps ${wrapsText(wraps)}`,
    state === "new" ? `to add it: npx factory-secrets keys add ${id}` : undefined,
    held || state === "retired" ? undefined : "not in the settings of this machine",
    replicasWithout > 0 && state !== "retired" ? replicasText(replicasWithout) : undefined,
    problem,
  ];
  return [id, state, source, ...notes.filter((note) => note !== undefined)].join("  ");
}

function withKeys<T>(server: ServerDeps, run: (deps: TaskDeps) => Promise<T>): Promise<T> {
  return withDatabase(server, async ({ prisma, pool }, settings) => {
    const keys = await openKeys(prisma, settings, dataDirectoryOf(settings));
    return run({ prisma, audit: new AuditWriter(pool), keys, factoryKeys: new FactoryKeys({ prisma, keys }) });
  });
}
