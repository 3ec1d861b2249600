import { Agent, request } from "undici";

/** A write that was answered with success: what must be there after any crash. */
export type Acknowledged = { name: string; version: number; value: string };

/** All that the clients of one server saw until it died. */
export type Seen = { acknowledged: Acknowledged[]; issued: string[]; failures: string[] };

export type Load = {
  url: string;
  path: string;
  token: string;
  job: string;
  /** Makes values of this round unlike those of any other. */
  round: number;
};

const sharedNames = 5;
const singleWriters = 30;
const batchWriters = 20;
const batchSize = 4;
const tokenClients = 8;

/** The names that one batch writer writes, always all together. */
export const batchNames = (writer: number): string[] =>
  Array.from({ length: batchSize }, (_, n) => `batch_${writer}_${n}`);
export const allBatchNames = (): string[][] => Array.from({ length: batchWriters }, (_, writer) => batchNames(writer));

/**
 * Fifty writers and eight token clients at once, each with its next request as soon as the last is answered; what they
 * see goes into `seen` as they see it. Resolves when all of them have lost the server.
 */
export async function runLoad(load: Load, seen: Seen): Promise<void> {
  const agent = new Agent({ connections: 64 });
  const ask = async (method: "PUT" | "POST", path: string, token: string, body: object) => {
    const reply = await request(`${load.url}${load.path}${path}`, {
      method,
      dispatcher: agent,
      headers: { "osf-token": token, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await reply.body.text();
    if (reply.statusCode >= 300) seen.failures.push(`${reply.statusCode} ${text.slice(0, 300)}`);
    return { isDone: reply.statusCode < 300, text, requestId: String(reply.headers["x-request-id"]) };
  };
  const clients = [
    ...Array.from({ length: singleWriters }, (_, writer) => untilLost((n) => writeOne(load, seen, ask, writer, n))),
    ...Array.from({ length: batchWriters }, (_, writer) => untilLost((n) => writeBatch(load, seen, ask, writer, n))),
    ...Array.from({ length: tokenClients }, (_, client) => untilLost((n) => askToken(load, seen, ask, client, n))),
  ];
  await Promise.all(clients);
  await agent.destroy();
}

type Ask = (
  method: "PUT" | "POST",
  path: string,
  token: string,
  body: object,
) => Promise<{ isDone: boolean; text: string; requestId: string }>;

async function untilLost(step: (n: number) => Promise<void>): Promise<void> {
  try {
    for (let n = 0; ; n += 1) await step(n);
  } catch {
    // The server is gone, perhaps in the middle of this very answer, which then counts as none.
  }
}

async function writeOne({ token, round }: Load, seen: Seen, ask: Ask, writer: number, n: number): Promise<void> {
  const name = `shared_${writer % sharedNames}`;
  const value = `not-a-real-secret single ${round}.${writer}.${n}`;
  const reply = await ask("PUT", `/secrets/${name}`, token, { value });
  if (reply.isDone) seen.acknowledged.push({ name, version: JSON.parse(reply.text).version, value });
}

async function writeBatch({ token, round }: Load, seen: Seen, ask: Ask, writer: number, n: number): Promise<void> {
  const value = `not-a-real-secret batch ${round}.${writer}.${n}`;
  const secrets = batchNames(writer).map((name) => ({ name, value }));
  const reply = await ask("POST", "/secrets:batch", token, { secrets });
  if (!reply.isDone) return;
  for (const { name, version } of JSON.parse(reply.text).secrets) seen.acknowledged.push({ name, version, value });
}

async function askToken({ job, round }: Load, seen: Seen, ask: Ask, client: number, n: number): Promise<void> {
  // Some hit the cache, some mint.
  const repositories = n % 2 === 0 ? ["acme/app"] : [`acme/r-${round}-${client}-${n}`, "acme/app"];
  const reply = await ask("POST", "/registry-tokens", job, { registry: "ghcr.io", repositories });
  if (reply.isDone) seen.issued.push(reply.requestId);
}
