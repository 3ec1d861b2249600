import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { oneSentence, register, withdraw } from "../../support/devices/device-service.js";
import { bearerHost, type DeviceFactory, refreshTokenUser, startDeviceFactory, tenantHost } from "./device-factory.js";
import { anyShell, hasCurl, type ShMachine, shells } from "./sh-machine.js";

let factory: DeviceFactory;
beforeAll(async () => {
  factory = await startDeviceFactory();
});
afterAll(() => factory?.close());

for (const shell of shells) {
  describe.skipIf(shell.isMissing)(`a device's credential helper under ${shell.name}`, () => {
    let machine: ShMachine;
    beforeAll(() => {
      machine = factory.machine(shell);
    });
    afterAll(() => machine?.close());

    test("gives docker the login of an Azure registry with a tenant, however docker writes its name", async () => {
      for (const server of [tenantHost, `https://${tenantHost}\n`, `https://${tenantHost.toUpperCase()}/v2/\r\n`]) {
        const done = await machine.helper("get", server);
        expect(done).toMatchObject({ exitCode: 0, stderr: "" });
        expect(JSON.parse(done.stdout)).toEqual({
          ServerURL: server.trim(),
          Username: refreshTokenUser,
          Secret: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
        });
      }
      const [event] = await factory.events("registry-token.issued");
      expect(event).toMatchObject({ actor: { kind: "device", id: factory.device.id } });
    });

    test("says of Azure without a tenant that only config.json can hold its bearer, and what writes that", async () => {
      const done = await machine.helper("get", bearerHost);
      expect(done).toMatchObject({ exitCode: 1, stderr: "" });
      expect(done.stdout).toMatch(/gives a bearer.*"format": "docker-config".*examples\/device\.sh/);
      // The script has no flags of the command line, and so names none.
      expect(done.stdout).not.toMatch(/--\w|factory-secrets ci/);
    });

    test.each([
      ["a registry that the device has no grant for", "ghcr.io", /^factory-secrets refused \(403\): .*opened for less/],
      ["no registry", "", /^docker named no registry/],
      ["what is no registry", '{"x":"y"}', /^docker named no registry/],
    ])("refuses %s with a sentence, which docker does not take for none", async (_, server, sentence) => {
      const done = await machine.helper("get", server);
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(sentence), stderr: "" });
      expect(done.stdout).not.toContain("credentials not found in native keychain");
    });

    test("stores nothing, and says so; erase and list have nothing to do", async () => {
      const stored = await machine.helper("store", '{"ServerURL":"x","Username":"y","Secret":"z"}');
      expect(stored).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/No docker login is needed/) });
      expect(await machine.helper("erase", tenantHost)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(await machine.helper("list")).toEqual({ exitCode: 0, stdout: "{}\n", stderr: "" });
      expect(await machine.helper("delete")).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^Usage: /) });
    });

    test("reads its settings from a file, in which the environment changes single ones", async () => {
      const { environment } = machine;
      const names = Object.keys(environment).filter((name) => /^FACTORY_SECRETS_(?!CLIENT_CONF)/.test(name));
      const lines = names.map((name) => `${name}=${environment[name]}`);
      const path = machine.write("client.conf", `# of the factory\r\n\n${lines.join("\r\n")}`);
      const none = Object.fromEntries(names.map((name) => [name, ""]));
      const done = await machine.helper("get", tenantHost, { ...none, FACTORY_SECRETS_CLIENT_CONF: path });
      expect(done).toMatchObject({ exitCode: 0, stderr: "" });
      const other = { ...none, FACTORY_SECRETS_CLIENT_CONF: path, FACTORY_SECRETS_FACTORY: "no-such-factory" };
      expect(await machine.helper("get", tenantHost, other)).toMatchObject({ exitCode: 1 });
    });

    test.each([
      ["a name that it does not know", "FACTORY_SECRETS_TOKEN=hidden", "line 1 has no name of a setting"],
      ["blanks around the =", "FACTORY_SECRETS_URL = hidden", "line 1 has no name of a setting"],
      ["a line that is something else", "\n$(hidden)", "line 2 is not NAME=VALUE"],
    ])("refuses a file with %s, names the line and does not show it", async (_, text, sentence) => {
      const path = machine.write("wrong.conf", text);
      const done = await machine.helper("get", tenantHost, { FACTORY_SECRETS_CLIENT_CONF: path });
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringContaining(`${path}: ${sentence}`), stderr: "" });
      expect(done.stdout).not.toContain("hidden");
    });

    test("runs nothing that stands in a setting", async () => {
      const path = machine.write("shell.conf", `FACTORY_SECRETS_CA_FILE=$(echo run >${machine.directory}/run)\`id\`"'`);
      const settings = { FACTORY_SECRETS_CLIENT_CONF: path, FACTORY_SECRETS_CA_FILE: "" };
      const done = await machine.helper("get", tenantHost, settings);
      expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^FACTORY_SECRETS_CA_FILE: \$\(echo/) });
      expect(await machine.script(`cat "${machine.directory}/run"`)).not.toMatchObject({ exitCode: 0 });
    });
  });
}

describe.skipIf(!hasCurl)(`what a device is refused (${anyShell.name})`, () => {
  let machine: ShMachine;
  beforeAll(() => {
    machine = factory.machine(anyShell);
  });
  afterAll(() => machine?.close());

  test.each([
    ["FACTORY_SECRETS_URL", "", /^Where is the service\?/],
    ["FACTORY_SECRETS_URL", "http://secrets.example.com", /must begin with https/],
    ["FACTORY_SECRETS_URL", "http://127.0.0.1:80@secrets.example.com", /no address of a service/],
    ["FACTORY_SECRETS_FACTORY", "", /^Which factory\?/],
    ["FACTORY_SECRETS_FACTORY", "../x", /no name of a factory/],
    ["FACTORY_SECRETS_CLIENT_KEY_FILE", "", /^Who asks\?/],
    ["FACTORY_SECRETS_CLIENT_CERT_FILE", "/no/such/file", /FACTORY_SECRETS_CLIENT_CERT_FILE: .* cannot be read/],
    ["FACTORY_SECRETS_CA_FILE", "/no/such/file", /FACTORY_SECRETS_CA_FILE: .* cannot be read/],
    ["FACTORY_SECRETS_TOKEN_FILE", "/no/such/file", /FACTORY_SECRETS_TOKEN_FILE: .* cannot be read/],
    ["FACTORY_SECRETS_CLIENT_CONF", "/no/such/file", /there is no file/],
  ])("with %s as '%s' it says which setting is wrong", async (name, value, sentence) => {
    const done = await machine.helper("get", tenantHost, { [name]: value });
    expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(sentence), stderr: "" });
  });

  test("a service whose certificate another authority signed is not asked twice", async () => {
    const others = factory.machine(anyShell);
    others.watch("curl");
    const done = await others.helper("get", tenantHost, {
      FACTORY_SECRETS_CA_FILE: others.write("other.crt", (await makeRoot()).pem),
    });
    expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/does not answer: SSL.*\(curl 60\)/) });
    expect(others.calls()).toHaveLength(1);
    others.close();
  });

  test.each([
    ["of an authority that nobody has registered", async () => makeDevice(await makeRoot(), factory.factory.name)],
    [
      "of an authority that was withdrawn",
      async () => {
        const root = await makeRoot();
        const id = await register(factory.service, factory.factory, { certificates: [root] });
        await withdraw(factory.service, factory.factory, id);
        return makeDevice(root, factory.factory.name);
      },
    ],
    [
      "that is denied",
      async () => {
        const device = await makeDevice(factory.root, factory.factory.name);
        const path = `/v1/factories/${factory.factory.name}/denied-devices`;
        const operator = factory.service.as(factory.service.operatorToken);
        await operator.post(path).send({ deviceId: device.id }).expect(201);
        return device;
      },
    ],
  ])("a device %s gets the one sentence", async (_, make) => {
    const wrong = factory.machine(anyShell, await make());
    const done = await wrong.helper("get", tenantHost);
    const stdout = `factory-secrets does not know who asks (401): ${oneSentence}\n`;
    expect(done).toEqual({ exitCode: 1, stdout, stderr: "" });
    wrong.close();
  });

  test("a file that is no certificate is said to be none", async () => {
    const wrong = factory.machine(anyShell, { ...factory.device, pem: "no certificate" });
    const done = await wrong.helper("get", tenantHost);
    expect(done).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/\(curl 58\)/) });
    wrong.close();
  });
});
