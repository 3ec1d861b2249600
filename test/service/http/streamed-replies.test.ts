import { createServer, get, type IncomingMessage, type ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { StreamedText } from "../../../src/http/route.js";
import { sendStream } from "../../../src/http/send.js";
import { listen } from "../outbound/tls-server.js";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** Answers one request by `answer`, and gives the reply as soon as its head is there. */
async function replyOf(
  answer: (res: ServerResponse) => Promise<void>,
): Promise<{ reply: IncomingMessage; done: Promise<unknown> }> {
  let settle: (outcome: unknown) => void = () => undefined;
  const done = new Promise((resolve) => {
    settle = resolve;
  });
  const server = await listen(
    createServer((_req, res) => {
      answer(res).then(
        () => settle("sent"),
        (error: unknown) => {
          settle(error);
          if (res.headersSent) res.destroy();
          else res.writeHead(500).end();
        },
      );
    }),
  );
  closers.push(server.close);
  const reply = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ port: server.port, host: "127.0.0.1", agent: false }, resolve).on("error", reject);
  });
  return { reply, done };
}

describe("a streamed reply", () => {
  it("is made no faster than it is read, and no further when the client goes away", async () => {
    const seen = { chunks: 0, ended: false };
    async function* endless() {
      try {
        for (;;) {
          seen.chunks += 1;
          yield "x".repeat(100_000);
        }
      } finally {
        seen.ended = true;
      }
    }
    const { reply, done } = await replyOf((res) => sendStream(res, {}, new StreamedText(endless())));
    reply.pause();
    // A slow machine takes a while to fill what lies between the two.
    const goesOn = async () => {
      const before = seen.chunks;
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (seen.chunks > 1_000) throw new Error("100 MB were made for nobody");
      return seen.chunks > before;
    };
    while (await goesOn());
    reply.destroy();
    expect(await done).toBe("sent");
    expect(seen.ended).toBe(true);
  });

  it("that fails before its first chunk can still be answered otherwise", async () => {
    // biome-ignore lint/correctness/useYield: it fails before it has anything to give
    async function* broken(): AsyncGenerator<string> {
      throw new Error("no database");
    }
    const { reply, done } = await replyOf((res) => sendStream(res, {}, new StreamedText(broken())));
    expect(reply.statusCode).toBe(500);
    expect(await done).toEqual(new Error("no database"));
  });

  it("that fails later is cut, so that nobody takes it for whole", async () => {
    async function* broken() {
      yield "first\n";
      throw new Error("the database went away");
    }
    const { reply, done } = await replyOf((res) => sendStream(res, {}, new StreamedText(broken())));
    expect(reply.statusCode).toBe(200);
    await expect(reply.toArray()).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(await done).toEqual(new Error("the database went away"));
  });
});
