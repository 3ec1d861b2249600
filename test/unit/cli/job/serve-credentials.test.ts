import { afterEach, expect, test } from "vitest";
import { CommandFailure, exitCodes } from "../../../../src/cli/client/command-failure.js";
import { type CredentialsServer, serveCredentials } from "../../../../src/cli/job/serve-credentials.js";

let server: CredentialsServer | undefined;
afterEach(() => server?.close());

const lasting = (seconds: number, AccessKeyId = "ASIAFIRST") => ({
  AccessKeyId,
  SecretAccessKey: "not-a-real-secret",
  Token: "not-a-real-token",
  Expiration: new Date(Date.now() + seconds * 1_000).toISOString(),
});

async function ask(from: CredentialsServer): Promise<{ status: number; body: Record<string, string> }> {
  const reply = await fetch(from.url, { headers: { authorization: from.token } });
  const body: Record<string, string> = JSON.parse(await reply.text());
  return { status: reply.status, body };
}

test("new credentials are asked for once when less than fifteen minutes are left, however many ask", async () => {
  let renewals = 0;
  const renew = async () => {
    renewals += 1;
    return lasting(3_600, "ASIASECOND");
  };
  server = await serveCredentials(lasting(14 * 60), renew);
  const current = server;
  const replies = await Promise.all([ask(current), ask(current), ask(current)]);
  expect(replies.map(({ body }) => body.AccessKeyId)).toEqual(["ASIASECOND", "ASIASECOND", "ASIASECOND"]);
  await ask(current);
  expect(renewals).toBe(1);
});

test("the old ones are served while they live and new ones cannot be had; after that, why", async () => {
  const refuse = async () => {
    throw new CommandFailure(exitCodes.unavailable, "Nothing listens at https://secrets.example.com.");
  };
  server = await serveCredentials(lasting(60), refuse);
  expect(await ask(server)).toMatchObject({ status: 200, body: { AccessKeyId: "ASIAFIRST" } });
  await server.close();
  server = await serveCredentials(lasting(-1), refuse);
  expect(await ask(server)).toEqual({
    status: 503,
    body: { Code: "Unavailable", Message: "Nothing listens at https://secrets.example.com." },
  });
});
