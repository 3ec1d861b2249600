import { readdirSync, readFileSync } from "node:fs";
import type { Response } from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { openStored } from "../secrets/open-stored.js";

// Recorded from an unmodified fioctl between it and this service: what it sends, with the token and the factory left
// open. Numbered, because a factory lives through them in this order.
const directory = new URL("../../fixtures/fioctl/", import.meta.url);
const Recording = z.object({
  command: z.string(),
  requests: z.array(
    z.object({
      method: z.enum(["GET", "POST", "PATCH"]),
      path: z.string(),
      headers: z.record(z.string(), z.string()),
      body: z.string().optional(),
    }),
  ),
});
const recordings = readdirSync(directory)
  .toSorted()
  .map((file) => {
    const recording = Recording.parse(JSON.parse(readFileSync(new URL(file, directory), "utf8")));
    return { step: file.replace(/^\d+-|\.json$/g, ""), ...recording };
  });

let service: TestService;
let factory: { id: string; name: string };
const replies = new Map<string, Response[]>();
const stored = new Map<string, Buffer | undefined>();

beforeAll(async () => {
  service = await startTestService();
  factory = await service.createFactory();
  for (const { step, requests } of recordings) {
    if (step === "delete-what-an-entry-names") await nameFirstInAnEntry();
    const answered: Response[] = [];
    for (const request of requests) answered.push(await replay(request));
    replies.set(step, answered);
    stored.set(step, await openStored(service, { factory, name: "first" }));
  }
});
afterAll(() => service.close());

function replay(request: z.output<typeof Recording>["requests"][number]) {
  for (const [value] of (request.body ?? "").matchAll(/not-a-real-secret-\d/g)) watched(value);
  const base64 = Buffer.from(service.operatorToken).toString("base64");
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      value.replace("{token}", service.operatorToken).replace("{base64 of token}", base64),
    ]),
  );
  const path = request.path.replace("{factory}", factory.name);
  const agent = service.as(undefined);
  const method = { GET: agent.get(path), POST: agent.post(path), PATCH: agent.patch(path) }[request.method];
  return method.set(headers).send(request.body);
}

async function nameFirstInAnEntry() {
  const config = "- type: generic\n  url: ghcr.io\n  generic_secret_name: first\n";
  const agent = service.as(service.operatorToken).put(`/v1/factories/${factory.name}/config`);
  await agent.set("Content-Type", "application/yaml").send(config).expect(201);
}

const statusesOf = (step: string) => replies.get(step)?.map(({ status }) => status);
const sentenceOf = (step: string): string => replies.get(step)?.at(-1)?.body.message;
const namesOf = (step: string) => {
  const { data } = replies.get(step)?.at(-1)?.body ?? {};
  return data.flatMap((trigger: { secrets: { name: string }[] }) => trigger.secrets.map(({ name }) => name));
};

it("knows what to expect of every recording", () => {
  const expected = [
    "list-of-an-empty-factory first-secret list several-names from-a-file from-a-binary-file empty-file delete",
    "delete-what-is-not-there bad-names one-name-twice delete-what-an-entry-names bad-token saved-login saved-login-and-token",
  ];
  expect([...replies.keys()]).toEqual(expected.flatMap((line) => line.split(" ")));
});

describe("fioctl secrets list", () => {
  it("finds no trigger in an empty factory, and one after that", () => {
    expect(replies.get("list-of-an-empty-factory")?.[0]?.body).toEqual({ status: "success", data: [] });
    expect(replies.get("list")?.[0]?.body).toEqual({
      status: "success",
      data: [{ id: 1, type: "simple", secrets: [{ name: "first" }] }],
    });
  });

  it("is answered by a saved login, which sends base64 of the token, and by -t beside it", () => {
    for (const step of ["saved-login", "saved-login-and-token"]) {
      expect(statusesOf(step)).toEqual([200]);
      expect(namesOf(step)).toEqual(["binary", "first", "from_file", "third"]);
    }
  });

  it("says what a bad token is, in a sentence that fioctl prints", () => {
    expect(statusesOf("bad-token")).toEqual([401]);
    expect(sentenceOf("bad-token")).toMatch(/^This token is not valid: mistyped, expired or withdrawn/);
  });
});

describe("fioctl secrets update", () => {
  it("posts the first secret and patches later ones", () => {
    expect(statusesOf("first-secret")).toEqual([200, 201]);
    for (const step of ["several-names", "from-a-file", "from-a-binary-file"])
      expect(statusesOf(step)).toEqual([200, 200]);
    expect(stored.get("first-secret")?.toString()).toBe("not-a-real-secret-1");
  });

  it("stores a file with its line ends", async () => {
    const bytes = await openStored(service, { factory, name: "from_file" });
    expect(bytes?.toString()).toBe("line one\nnot-a-real-secret-file\r\n");
  });

  it("takes a damaged binary with a warning in the reply", () => {
    const { data } = replies.get("from-a-binary-file")?.at(-1)?.body ?? {};
    expect(data.warnings).toMatchObject([{ name: "binary", code: "replacement-character" }]);
  });

  it("deletes by an empty value, also what does not exist", () => {
    expect(statusesOf("delete")).toEqual([200, 200]);
    expect(statusesOf("delete-what-is-not-there")).toEqual([200, 200]);
  });

  it.each([
    ["empty-file", 400, 'the value of "empty_file" is empty. To delete the secret: fioctl secrets update empty_file='],
    ["bad-names", 400, "/secrets/2/name: this name is not allowed; a secret's name is 1 to 255 letters"],
    ["one-name-twice", 400, '"twice" is named twice in one batch'],
    ["delete-what-an-entry-names", 409, 'The secret "first" opens ghcr.io. Take it out of the factory config first'],
  ])("is refused for %s, says what to do, and changes nothing", (step, status, sentence) => {
    expect(statusesOf(step)).toEqual([200, status]);
    expect(sentenceOf(step)).toContain(sentence);
    // An array of objects under this name makes fioctl print nothing at all.
    expect(replies.get(step)?.at(-1)?.body).not.toHaveProperty("errors");
    expect(stored.get(step)?.toString()).toBe("not-a-real-secret-1");
    expect(namesOf("saved-login")).not.toContain("ok");
  });
});
