import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openShMachine, type ShMachine, shells } from "./sh-machine.js";
import { jsonAnswer, type StubService, startStubService } from "./stub-service.js";

let service: StubService;
beforeAll(async () => {
  service = await startStubService();
});
afterAll(() => service?.close());

const token = "not-a-real-token.of~a-job";
const registry = "registry.example.com:5000";

for (const shell of shells) {
  describe.skipIf(shell.isMissing)(`what the service answers, under ${shell.name}`, () => {
    let machine: ShMachine;
    beforeEach(() => {
      service.asked.length = 0;
      machine = openShMachine(shell, { FACTORY_SECRETS_URL: `${service.url}/`, FACTORY_SECRETS_FACTORY: "acme" });
      machine.environment.FACTORY_SECRETS_TOKEN_FILE = machine.write("token", `${token}\n`);
    });
    afterEach(() => machine.close());

    test("is asked for one login, with the token of the file, as JSON", async () => {
      service.answer = jsonAnswer(200, { username: "u", password: "p" });
      await machine.helper("get", `https://${registry}`);
      expect(service.asked).toHaveLength(1);
      const [{ method, path, headers, body } = { method: "", path: "", headers: {}, body: "" }] = service.asked;
      expect({ method, path }).toEqual({ method: "POST", path: "/v1/factories/acme/registry-tokens" });
      expect(headers).toMatchObject({ authorization: `Bearer ${token}`, "content-type": "application/json" });
      expect(JSON.parse(body)).toEqual({ format: "login", registry });
    });

    test.each([
      ["quotes, backslashes and percent signs", `a"b\\c%d%s\\n'$(id)\`id\`!{}[],:`],
      ["what looks like a member", `x","password":"y`],
      ["blanks, line ends and a null", "a  b\tc\nd\re\u0000f"],
      ["letters beyond ASCII", "pässwörd \u{1f511} \u2028"],
      ["nothing but a backslash at its end", "abc\\"],
      ["4,000 characters", "x".repeat(4_000)],
    ])("is handed on as it is, with %s in the password", async (_, password) => {
      service.answer = jsonAnswer(200, { username: password, password });
      const done = await machine.helper("get", registry);
      expect(done).toMatchObject({ exitCode: 0, stderr: "" });
      expect(JSON.parse(done.stdout)).toEqual({ ServerURL: registry, Username: password, Secret: password });
    });

    test("may come in pieces, in any order and over several lines", async () => {
      const parts = ['{\n  "password" :\r\n', '  "p\\"', 'q",\n', '"other": {"x": [1, "}"]},\n "username": "u"\n}\n'];
      service.answer = (response) => {
        response.writeHead(200, { "Content-Type": "application/json" });
        for (const part of parts) response.write(part);
        response.end();
      };
      const done = await machine.helper("get", registry);
      expect(JSON.parse(done.stdout)).toEqual({ ServerURL: registry, Username: "u", Secret: 'p"q' });
    });

    test("never puts a token or a password into the arguments of a program", async () => {
      for (const program of ["curl", "sed", "tr", "sleep", "id", "cat"]) machine.watch(program);
      service.answer = jsonAnswer(200, { username: "u", password: "the-password" });
      expect(await machine.helper("get", registry)).toMatchObject({ exitCode: 0 });
      const calls = machine.calls();
      expect(calls.filter((call) => call.startsWith("curl "))).toHaveLength(1);
      expect(calls.filter((call) => call.includes(token) || call.includes("the-password"))).toEqual([]);
    });

    test.each([
      [401, { title: "Unauthorized", detail: "It has ended." }, "does not know who asks (401): It has ended."],
      [403, { detail: 'Ask for "a\\b"\nor less.' }, 'refused (403): Ask for "a\\b" or less.'],
      [404, { title: "Not Found" }, "refused (404): Not Found"],
      [422, { detail: "No.", failures: [{ registry, code: "x", message: "y" }] }, "refused (422): No."],
      [500, { detail: "See the log." }, "cannot answer now (500): See the log."],
    ])("is told when it is %i, in the service's words", async (status, body, sentence) => {
      service.answer = jsonAnswer(status, { ...body, status });
      const done = await machine.helper("get", registry);
      expect(done).toMatchObject({ exitCode: 1, stderr: "" });
      expect(done.stdout.replace(` at ${service.url}`, "")).toBe(`factory-secrets ${sentence}\n`);
      expect(service.asked).toHaveLength(1);
    });

    test.each([
      ["a page", "<html>hello</html>"],
      ["a token in another format", JSON.stringify({ tokens: [] })],
      ["a login without a password", JSON.stringify({ username: "u", password: "" })],
    ])("is not taken for a login when it is %s", async (_, text) => {
      service.answer = (response) => void response.end(text);
      const done = await machine.helper("get", registry);
      const stdout = `What answers at ${service.url} is not factory-secrets.\n`;
      expect(done).toEqual({ exitCode: 1, stdout, stderr: "" });
    });

    test("is not followed elsewhere", async () => {
      service.answer = (response) => void response.writeHead(307, { Location: `${service.url}/elsewhere` }).end();
      const done = await machine.helper("get", registry);
      expect(done).toMatchObject({ exitCode: 1, stdout: "factory-secrets refused (307): no reason was given\n" });
      expect(service.asked).toHaveLength(1);
    });

    test.each([429, 502, 503, 504])("is waited for after %i", async (status) => {
      machine.watch("sleep", { doNothing: true });
      service.answer = (response, times) =>
        times < 3
          ? void response.writeHead(status).end("<html>busy</html>")
          : jsonAnswer(200, { username: "u", password: "p" })(response, times);
      expect(await machine.helper("get", registry)).toMatchObject({ exitCode: 0, stderr: "" });
      expect(machine.calls()).toEqual(["sleep 1", "sleep 2"]);
    });

    test("is asked again when it says, after a conflict that passes", async () => {
      machine.watch("sleep", { doNothing: true });
      service.answer = (response, times) => {
        if (times > 1) return jsonAnswer(200, { username: "u", password: "p" })(response, times);
        response.writeHead(409, { "Retry-After": "7" }).end('{"code":"conflict","detail":"Ask again."}');
      };
      expect(await machine.helper("get", registry)).toMatchObject({ exitCode: 0, stderr: "" });
      expect(machine.calls()).toEqual(["sleep 7"]);
    });

    test.each(["21", "3600"])("is not waited for when it asks for %s seconds", async (seconds) => {
      machine.watch("sleep", { doNothing: true });
      service.answer = (response) => void response.writeHead(503, { "Retry-After": seconds }).end("{}");
      expect(await machine.helper("get", registry)).toMatchObject({ exitCode: 1 });
      expect(service.asked).toHaveLength(1);
      expect(machine.calls()).toEqual([]);
    });

    test("is waited for when the connection breaks, and then said to be missing", async () => {
      machine.watch("sleep", { doNothing: true });
      service.answer = (response) => {
        response.writeHead(200, { "Content-Length": "100" }).write('{"username":"u","password":"p"}\n200 ');
        setTimeout(() => response.destroy(), 50);
      };
      const done = await machine.helper("get", registry);
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/does not answer: .*\(curl 18\)\n$/) });
      expect(service.asked).toHaveLength(3);
    });

    test("is not waited for longer than 10 seconds a time", async () => {
      machine.watch("sleep", { doNothing: true });
      // The last one counts: the test is not to wait that long.
      machine.watch("curl", { moreArguments: "--max-time 0.3" });
      service.answer = () => undefined;
      const done = await machine.helper("get", registry);
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/does not answer: .*\(curl 28\)\n$/) });
      const calls = machine.calls().filter((call) => call.startsWith("curl "));
      expect(calls.map((call) => call.includes("--max-time 10 "))).toEqual([true, true, true]);
    });

    test("may be missing altogether", async () => {
      machine.watch("sleep", { doNothing: true });
      const done = await machine.helper("get", registry, { FACTORY_SECRETS_URL: "http://127.0.0.1:1" });
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/does not answer: .*\(curl 7\)\n$/) });
      expect(machine.calls()).toEqual(["sleep 1", "sleep 2"]);
    });

    test.each([
      ["two lines", "one\ntwo"],
      ["a quote", 'one"\nurl = "http://elsewhere'],
    ])("is not asked with a token file that has %s", async (_, text) => {
      const path = machine.write("wrong", text);
      const done = await machine.helper("get", registry, { FACTORY_SECRETS_TOKEN_FILE: path });
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^The token has characters/) });
      expect(service.asked).toEqual([]);
    });

    test("is not reached by way of a .curlrc", async () => {
      machine.write(".curlrc", `header = "X-Other: 1"\n`);
      service.answer = jsonAnswer(200, { username: "u", password: "p" });
      await machine.helper("get", registry);
      expect(service.asked.map(({ headers }) => headers["x-other"])).toEqual([undefined]);
    });
  });
}
