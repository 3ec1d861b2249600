import pg from "pg";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Problem } from "../../../src/core/problem.js";
import { Plaintext } from "../../../src/crypto/plaintext.js";
import { createLogger } from "../../../src/observability/log.js";

const secret = "not-a-real-secret-in-a-log";

function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  const lines: string[] = [];
  write(createLogger("debug", { write: (line: string) => void lines.push(line) }));
  expect(lines).toHaveLength(1);
  return lines.join("");
}

describe("the log censors", () => {
  it.each(["value", "valueBase64", "token", "password", "bearer", "authorization", "osf-token", "secretAccessKey"])(
    "%s, wherever it stands, should one ever be handed to it",
    (name) => {
      for (const object of [{ [name]: secret }, { a: { [name]: secret } }, { a: { b: { [name]: secret } } }]) {
        const line = logged((log) => log.info(object, "a slip"));
        expect(line).not.toContain(secret);
        expect(line).toContain("[redacted]");
      }
    },
  );

  it("headers as Node has them", () => {
    const headers = { authorization: `Bearer ${secret}`, "osf-token": secret, host: "a" };
    expect(logged((log) => log.info({ req: { headers } }, "a slip"))).not.toContain(secret);
  });

  it("a plaintext, which shows itself to nobody", () => {
    expect(logged((log) => log.info({ one: Plaintext.fromText(secret) }, "a slip"))).not.toContain(secret);
  });
});

describe("an error in the log shows nothing of what it was given", () => {
  const zodError = z.strictObject({ name: z.enum(["a"]) }).safeParse({ [secret]: 1, name: secret }).error;
  const jsonError = (() => {
    try {
      return JSON.parse(`{"value": ${secret}}`);
    } catch (error) {
      return error;
    }
  })();
  class PrismaClientValidationError extends Error {
    override readonly name = "PrismaClientValidationError";
  }
  const message = `date/time field value out of range: "${secret}"`;
  const databaseError = Object.assign(new pg.DatabaseError(message, 0, "error"), {
    code: "22008",
    detail: `Key (name)=(${secret}) already exists.`,
    parameters: [secret],
  });

  it.each([
    ["zod", zodError],
    ["JSON.parse", jsonError],
    ["Prisma", new PrismaClientValidationError(`Invalid invocation: { value: "${secret}" }`)],
    ["Postgres", databaseError],
    ["a second line", new Error(`failed\nwith ${secret}`)],
    ["a cause", new Error("outer", { cause: databaseError })],
    ["a cause of a problem", new Problem("internal", "The service failed.", { cause: jsonError })],
    ["a member of its own", Object.assign(new Error("failed"), { config: { headers: { authorization: secret } } })],
    ["something that is no error", { message: secret }],
    ["a text", secret],
  ])("%s", (_what, err) => {
    const line = logged((log) => log.error({ err }, "failed"));
    expect(line).not.toContain(secret);
    expect(JSON.parse(line)).toMatchObject({ level: "error", msg: "failed", err: { type: expect.any(String) } });
  });

  it("and still says what it was and where it came from", () => {
    const error = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
    const { err } = JSON.parse(logged((log) => log.error({ err: error }, "failed")));
    expect(err).toMatchObject({ type: "Error", code: "ECONNREFUSED", message: "connect ECONNREFUSED 127.0.0.1:1" });
    expect(err.stack[0]).toMatch(/^ {4}at /);
  });
});
