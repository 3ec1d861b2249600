import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;

beforeAll(async () => {
  service = await startTestService({ FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" });
});

afterAll(() => service.close());

it("tells whoever comes from `fioctl login` how to make a client, with this installation's address", async () => {
  const reply = await service.as(undefined).get("/settings/credentials/").expect(200);
  expect(reply.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(reply.text).toContain('curl -sS "https://secrets.example.test/v1/factories/FACTORY/oauth-clients"');
  expect(reply.text).toContain('fioctl login --oauth-url "https://secrets.example.test/oauth"');
});
