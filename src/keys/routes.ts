import { z } from "zod";
import { requestedBy } from "../audit/record.js";
import { actorOf, type Caller } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import { FactoryParams, Flag, IdParams, Timestamp } from "../http/contract.js";
import { json, type RequestFacts, route } from "../http/route.js";
import type { FactoryKeys } from "../secrets/factory-keys.js";
import { activateKey, addKey, type KeyDeps, noKey, retireKey } from "./change-keys.js";
import { type ListedKey, listKeys } from "./list-keys.js";
import { findFactoryRef } from "./store.js";
import type { KeyTasks } from "./tasks/key-tasks.js";
import { startReseal, startRewrap } from "./tasks/run-task.js";
import { findTask, listTasks, type TaskRow } from "./tasks/store.js";

/** The id of a key-encryption key. */
export const KeyId = z
  .string()
  .regex(/^kek-[0-9a-f]{16}$/, "kek- and 16 hex digits")
  .meta({ description: "Its `id`, as the list shows it.", example: "kek-4375120f5e63bc39" });

export const KeyParams = z.object({ id: KeyId.meta({ param: { id: "KeyIdInPath" } }) });

const WrappedCounts = z
  .object({ dataKeys: z.int(), signingKeys: z.int(), auditKeys: z.int() })
  .meta({ id: "WrappedCounts", description: "How many stored keys only this key opens." });

export const Key = z
  .object({
    id: KeyId,
    source: z
      .string()
      .meta({ description: "Where it is, as the settings write it.", example: "env:FACTORY_SECRETS_KEY" }),
    state: z.enum(["new", "known", "active", "retired"]).meta({
      id: "KeyState",
      description:
        "`new`: in the settings of the replica that answers, not added yet. `active`: it wraps what is new. `known`: it opens what it has wrapped. `retired`: nothing needs it any more.",
    }),
    createdAt: Timestamp.optional().meta({ description: "When it was added." }),
    wraps: WrappedCounts,
    held: z.boolean().meta({ description: "The replica that answers holds it." }),
    replicasWithout: z.int().meta({ description: "Running replicas that do not hold it." }),
    problem: z
      .string()
      .optional()
      .meta({ description: "Why it cannot be used just now, from the replica that answers." }),
  })
  .meta({ id: "Key", description: "A key-encryption key. Its bytes are never shown." });

export const KeyList = z.object({ items: z.array(Key) }).meta({ id: "KeyList" });

export const AddKey = z
  .strictObject({ key: z.string().min(1).max(500).meta({ description: "Id or source of a key in the settings." }) })
  .meta({ id: "AddKey" });

const PerSecond = z
  .int()
  .min(1)
  .max(10_000)
  .default(100)
  .meta({ description: "How many to move in a second, at most." });

export const StartTask = z.strictObject({ perSecond: PerSecond }).meta({ id: "StartKeyTask" });

export const KeyTask = z
  .object({
    id: z.string(),
    kind: z.enum(["rewrap", "reseal"]).meta({
      id: "KeyTaskKind",
      description:
        "`rewrap`: what `keyId` wraps is wrapped by the active key. `reseal`: the values of `factoryId` are sealed under its new data key.",
    }),
    state: z.enum(["running", "done", "failed"]).meta({
      id: "KeyTaskState",
      description: "`running`: it goes on by itself, also after a crash. `failed`: something does not open.",
    }),
    keyId: z.string().optional(),
    factoryId: z.string().optional(),
    perSecond: z.int(),
    done: z.int(),
    total: z.int().meta({ description: "As counted when it began; what comes meanwhile is moved too." }),
    problem: z.string().optional().meta({ description: "What keeps it from going on." }),
    createdAt: Timestamp,
    finishedAt: Timestamp.optional(),
  })
  .meta({ id: "KeyTask" });

export const KeyTaskList = z.object({ items: z.array(KeyTask) }).meta({ id: "KeyTaskList" });

type TaskDeps = KeyDeps & { keyTasks: Pick<KeyTasks, "begin"> };

const keyView = (key: ListedKey): z.input<typeof Key> => ({
  id: key.id,
  source: key.source,
  state: key.state,
  wraps: { dataKeys: key.wraps.dataKeys, signingKeys: key.wraps.signingKeys, auditKeys: key.wraps.auditKeys },
  held: key.held,
  replicasWithout: key.replicasWithout,
  ...(key.createdAt && { createdAt: key.createdAt.toISOString() }),
  ...(key.problem !== undefined && { problem: key.problem }),
});

const taskView = (task: TaskRow): z.input<typeof KeyTask> => ({
  id: task.id,
  kind: task.subject.kind,
  state: task.state,
  ...(task.subject.kind === "rewrap" ? { keyId: task.subject.keyId } : { factoryId: task.subject.factoryId }),
  perSecond: task.perSecond,
  done: task.done,
  total: task.total,
  createdAt: task.createdAt.toISOString(),
  ...(task.problem !== undefined && { problem: task.problem }),
  ...(task.finishedAt && { finishedAt: task.finishedAt.toISOString() }),
});

const asked = (caller: Caller, request: RequestFacts) => ({ actor: actorOf(caller), requested: requestedBy(request) });

async function oneKey(deps: Pick<KeyDeps, "prisma" | "keys">, id: string): Promise<z.input<typeof Key>> {
  const key = (await listKeys(deps)).find((listed) => listed.id === id);
  if (!key) throw noKey(id);
  return keyView(key);
}

const keyReply = { description: "The key.", content: { "application/json": Key } };
const taskReply = { description: "Begun; it goes on by itself.", content: { "application/json": KeyTask } };

const list = route(
  {
    id: "listKeys",
    method: "get",
    path: "/v1/keys",
    tag: "Keys",
    summary: "The key-encryption keys",
    auth: "operator",
    replies: { 200: { description: "The oldest first.", content: { "application/json": KeyList } } },
    problems: [],
  },
  async (deps: Pick<KeyDeps, "prisma" | "keys">) => ({
    status: 200,
    body: { items: (await listKeys(deps)).map(keyView) },
  }),
);

const get = route(
  {
    id: "getKey",
    method: "get",
    path: "/v1/keys/{id}",
    tag: "Keys",
    summary: "One key-encryption key",
    auth: "operator",
    params: KeyParams,
    replies: { 200: keyReply },
    problems: ["not-found"],
  },
  async (deps: Pick<KeyDeps, "prisma" | "keys">, { params }) => ({ status: 200, body: await oneKey(deps, params.id) }),
);

const add = route(
  {
    id: "addKey",
    method: "post",
    path: "/v1/keys",
    tag: "Keys",
    summary: "Add a key of the settings",
    description:
      "It must be in `FACTORY_SECRETS_KEYS` of the replica that answers. It wraps nothing until it is activated.",
    auth: "operator",
    body: json(AddKey),
    replies: { 201: keyReply },
    problems: ["not-found", "already-exists", "key-unsuitable"],
  },
  async (deps: KeyDeps, { body, caller, request }) => {
    const id = await addKey(deps, { key: body.key, ...asked(caller, request) });
    return { status: 201, body: await oneKey(deps, id) };
  },
);

const activate = route(
  {
    id: "activateKey",
    method: "post",
    path: "/v1/keys/{id}:activate",
    tag: "Keys",
    summary: "Wrap what is new by this key",
    description: "On every replica at once. Refused while a running replica does not hold the key, unless forced.",
    auth: "operator",
    params: KeyParams,
    query: z.strictObject({ force: Flag("Also when a running replica does not hold it.") }),
    replies: { 200: keyReply },
    problems: ["not-found", "key-unsuitable"],
  },
  async (deps: KeyDeps, { params, query, caller, request }) => {
    await activateKey(deps, { key: params.id, forced: query.force, ...asked(caller, request) });
    return { status: 200, body: await oneKey(deps, params.id) };
  },
);

const rewrap = route(
  {
    id: "rewrapKey",
    method: "post",
    path: "/v1/keys/{id}:rewrap",
    tag: "Keys",
    summary: "Wrap by the active key what this key wraps",
    description: "Goes on in the background and after a crash. Where it runs already, that task is the answer.",
    auth: "operator",
    params: KeyParams,
    body: json(StartTask),
    replies: { 202: taskReply },
    problems: ["not-found", "key-unsuitable", "conflict"],
  },
  async (deps: TaskDeps, { params, body, caller, request }) => {
    const task = await startRewrap(deps, { key: params.id, perSecond: body.perSecond, ...asked(caller, request) });
    deps.keyTasks.begin(task.id);
    return { status: 202, body: taskView(task) };
  },
);

const retire = route(
  {
    id: "retireKey",
    method: "post",
    path: "/v1/keys/{id}:retire",
    tag: "Keys",
    summary: "End a key that nothing needs",
    description:
      "Refused while anything is wrapped by it, and while the active key does not open what that has wrapped. Afterwards it may leave the settings.",
    auth: "operator",
    params: KeyParams,
    replies: { 200: keyReply },
    problems: ["not-found", "key-unsuitable", "key-in-use"],
  },
  async (deps: KeyDeps, { params, caller, request }) => {
    await retireKey(deps, { key: params.id, ...asked(caller, request) });
    return { status: 200, body: await oneKey(deps, params.id) };
  },
);

const rotateDataKey = route(
  {
    id: "rotateDataKey",
    method: "post",
    path: "/v1/factories/{factory}/data-keys:rotate",
    tag: "Keys",
    summary: "Seal a factory's values under a new data key",
    description:
      "Goes on in the background and after a crash. Versions, fingerprints and token answers stay as they are.",
    auth: "operator",
    params: FactoryParams,
    body: json(StartTask),
    replies: { 202: taskReply },
    problems: ["not-found", "conflict"],
  },
  async (deps: TaskDeps & { factoryKeys: FactoryKeys }, { params, body, caller, request }) => {
    const factory = await findFactoryRef(deps.prisma, params.factory);
    if (!factory) throw new Problem("not-found", "There is no such factory.");
    const task = await startReseal(deps, { factory, perSecond: body.perSecond, ...asked(caller, request) });
    deps.keyTasks.begin(task.id);
    return { status: 202, body: taskView(task) };
  },
);

const tasks = route(
  {
    id: "listKeyTasks",
    method: "get",
    path: "/v1/key-tasks",
    tag: "Keys",
    summary: "What is being moved from key to key",
    auth: "operator",
    replies: { 200: { description: "The last hundred, newest first.", content: { "application/json": KeyTaskList } } },
    problems: [],
  },
  async ({ prisma }: Pick<KeyDeps, "prisma">) => ({
    status: 200,
    body: { items: (await listTasks(prisma)).map(taskView) },
  }),
);

const task = route(
  {
    id: "getKeyTask",
    method: "get",
    path: "/v1/key-tasks/{id}",
    tag: "Keys",
    summary: "How far one has come",
    auth: "operator",
    params: IdParams,
    replies: { 200: { description: "The task.", content: { "application/json": KeyTask } } },
    problems: ["not-found"],
  },
  async ({ prisma }: Pick<KeyDeps, "prisma">, { params }) => {
    const row = await findTask(prisma, params.id);
    if (!row) throw new Problem("not-found", "There is no such task.");
    return { status: 200, body: taskView(row) };
  },
);

export const keyRoutes = [list, get, add, activate, rewrap, retire, rotateDataKey, tasks, task];
