import type { Server } from "node:http";
import supertest from "supertest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { route } from "../../../src/http/route.js";
import { createHttpServer } from "../../../src/http/server.js";

const Row = z.object({ name: z.string(), owner: z.object({ id: z.string() }) });
const List = z.object({ items: z.array(Row) });

// What a careless handler gives: whole rows, with columns that no reply declares.
const leaking = { name: "a", tokenHash: "leaked-1", owner: { id: "1", passwordHash: "leaked-2" } };

const declaration = { method: "get", tag: "System", auth: "anyone", problems: [] } as const;
const content = { 200: { description: "Rows.", content: { "application/json": List } } } as const;
const spread = route(
  { ...declaration, id: "spread", path: "/spread", summary: "Spreads rows", replies: content },
  async (_deps: object) => ({ status: 200, body: { items: [leaking], total: "leaked-3" } }),
);
const wrong = route(
  { ...declaration, id: "wrong", path: "/wrong", summary: "Does not fit", replies: content },
  async (_deps: object) => ({ status: 200, body: { items: [{ ...leaking, owner: { id: JSON.parse("1") } }] } }),
);
const failing = route(
  { ...declaration, id: "failing", path: "/failing", summary: "Throws", replies: content },
  async (_deps: object) => {
    throw new Error("leaked-4");
  },
);

let server: Server;
const causes: unknown[] = [];
beforeAll(() => {
  const pipe = {
    authenticate: async () => undefined,
    findFactory: async () => undefined,
    recordRefusal: async () => undefined,
    errorShapeOf: () => undefined,
    countCostly: async () => undefined,
    pageTokens: { seal: async () => "", open: async () => undefined },
    onAnswered: ({ problem }: { problem: unknown }) => void causes.push(problem),
  };
  server = createHttpServer({ routes: [spread, wrong, failing], deps: {}, pipe, trustedProxies: [] });
});
afterAll(() => server.close());

it("strips from a reply what its declaration does not have, at every depth", async () => {
  const { status, text } = await supertest(server).get("/spread");
  expect([status, text]).toEqual([200, '{"items":[{"name":"a","owner":{"id":"1"}}]}']);
});

it.each(["/wrong", "/failing"])("answers %s 500, tells the log why and the client nothing", async (path) => {
  const { status, text } = await supertest(server).get(path);
  expect([status, JSON.parse(text).code]).toEqual([500, "internal"]);
  expect(text).not.toMatch(/leaked|owner|items/);
  expect(causes.at(-1)).toMatchObject({ code: "internal", cause: expect.any(Error) });
});
