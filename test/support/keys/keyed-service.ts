import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { keyEncryptionKeyId } from "../../../src/crypto/envelope.js";
import type { KeyRing } from "../../../src/crypto/key-ring.js";
import { openKeys } from "../../../src/service/key-source.js";
import { readSettings } from "../../../src/settings/settings.js";
import { watched } from "../leak-watch.js";
import { startOwnTestService, type TestService } from "../test-service.js";

export type TestKey = { id: string; text: string };

export function newKey(): TestKey {
  const bytes = randomBytes(32);
  return { id: keyEncryptionKeyId(bytes), text: watched(bytes.toString("base64")) };
}

/** A service whose settings hold its first key and a second one that was not added yet. */
export type KeyedService = {
  service: TestService;
  first: string;
  second: string;
  /** What a replica takes to hold both keys. */
  environment: Record<string, string>;
  /** All keys of the settings, read anew. */
  ring(): Promise<KeyRing>;
  post(path: string, body?: object): ReturnType<ReturnType<TestService["as"]>["post"]>;
  get(path: string): ReturnType<ReturnType<TestService["as"]>["get"]>;
  /** The keys as the list shows them, by id. */
  keys(): Promise<Map<string, { state: string; wraps: Record<string, number> }>>;
  /** Adds the second key and makes it the active one. */
  activateSecond(): Promise<void>;
  /** Resolves when the task has ended. */
  ended(task: { id: string }): Promise<Record<string, unknown>>;
  /** Audit events about keys, oldest first. */
  events(): Promise<Record<string, unknown>[]>;
};

export async function startKeyedService(settings: Record<string, string> = {}): Promise<KeyedService> {
  const second = newKey();
  const environment = { FACTORY_SECRETS_KEYS: "env:SECOND_KEY", SECOND_KEY: second.text, ...settings };
  const service = await startOwnTestService(environment);
  const { databaseUrl, key, database } = service;
  const all = readSettings({ DATABASE_URL: databaseUrl, FACTORY_SECRETS_KEY: key, ...environment });
  const operator = () => service.as(service.operatorToken);
  const get = (path: string) => operator().get(path);
  const post = (path: string, body: object = {}) => operator().post(path).send(body);
  return {
    service,
    environment,
    first: keyEncryptionKeyId(Buffer.from(key, "base64")),
    second: second.id,
    ring: () => openKeys(database.prisma, all, undefined),
    get,
    post,
    async keys() {
      const { body } = await get("/v1/keys").expect(200);
      return new Map(body.items.map((item: { id: string }) => [item.id, item]));
    },
    async activateSecond() {
      await post("/v1/keys", { key: second.id }).expect(201);
      await post(`/v1/keys/${second.id}:activate`).expect(200);
    },
    async ended({ id }) {
      const read = async () => (await get(`/v1/key-tasks/${id}`).expect(200)).body;
      await expect.poll(async () => (await read()).state, { interval: 20 }).not.toBe("running");
      return read();
    },
    async events() {
      const sql = "SELECT event FROM audit_events WHERE action LIKE 'key.%' OR action LIKE 'data-key.%' ORDER BY id";
      const { rows } = await database.pool.query<{ event: Buffer }>(sql);
      return rows.map(({ event }) => JSON.parse(event.toString("utf8")));
    },
  };
}
