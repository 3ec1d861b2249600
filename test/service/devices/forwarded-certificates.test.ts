import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Issued, makeDevice, makeIntermediate, makeRoot } from "../../support/devices/device-certificates.js";
import { oneSentence, refusals, register } from "../../support/devices/device-service.js";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

const proof = watched("not-a-real-secret-device-proxy-000000000");
const envoy = "X-Forwarded-Client-Cert";
const nginx = "X-SSL-Client-Cert";
const proxies = { FACTORY_SECRETS_DEVICE_PROXY_SECRET: proof };

const services = new Map<string, TestService>();
const serviceOf = (name: string) => {
  const service = services.get(name);
  if (!service) throw new Error(`no service ${name}`);
  return service;
};
beforeAll(async () => {
  const listed = { ...proxies, FACTORY_SECRETS_DEVICE_PROXIES: "127.0.0.0/8" };
  const first = await startTestService(listed);
  services.set("envoy", first);
  services.set("nginx", await startTestService({ ...listed, FACTORY_SECRETS_DEVICE_CERT_HEADER: nginx }, first));
  const unlisted = { ...proxies, FACTORY_SECRETS_DEVICE_PROXIES: "192.0.2.1" };
  services.set("unlisted", await startTestService(unlisted, first));
});
afterAll(async () => {
  for (const service of [...services.values()].toReversed()) await service.close();
});

async function makeKnown() {
  const factory = await serviceOf("envoy").createFactory();
  const root = await makeRoot();
  await register(serviceOf("envoy"), factory, { certificates: [root] });
  return { factory, root, device: await makeDevice(root, factory.name) };
}

const escaped = (...all: readonly Issued[]) => encodeURIComponent(all.map(({ pem }) => `${pem}\n`).join(""));

/** Node joins and drops no header that is given as a list of pairs. */
async function ask(name: string, headers: readonly [string, string][]) {
  return new Promise<{ status: number; body: Record<string, unknown> }>((resolve, reject) => {
    const raw = ["Host", "x", ...headers.flat()];
    const sent = request(`${serviceOf(name).url}/v1/whoami`, { headers: raw }, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on("error", reject).end();
  });
}

const proven: [string, string] = ["X-Device-Proxy-Secret", proof];
const refused = { status: 401, body: { code: "unauthenticated", detail: oneSentence } };

describe("a certificate from a proxy", () => {
  it("is taken in Envoy's form and in nginx's, and verified again", async () => {
    const { factory, device } = await makeKnown();
    const forms: [string, string, string][] = [
      ["envoy", envoy, `Hash=00;Cert="${escaped(device)}";Subject="CN=x,OU=y"`],
      ["nginx", nginx, escaped(device)],
    ];
    const forged = await makeDevice(await makeRoot(), factory.name);
    for (const [name, header, value] of forms) {
      expect(await ask(name, [[header, value], proven])).toMatchObject({ status: 200, body: { id: device.id } });
      const lie = value.replace(escaped(device), escaped(forged));
      expect(await ask(name, [[header, lie], proven])).toMatchObject(refused);
    }
  });

  it("is refused with an issuer that is no CA, and the audit says not-a-ca", async () => {
    const { factory, device } = await makeKnown();
    const below = await makeDevice(device, factory.name);
    const value = `Cert="${escaped(below)}";Chain="${escaped(below, device)}"`;
    expect(await ask("envoy", [[envoy, value], proven])).toMatchObject(refused);
    expect((await refusals(serviceOf("envoy"), factory.name)).map(({ reason }) => reason)).toEqual(["not-a-ca"]);
  });

  it("may come with its chain", async () => {
    const { factory, root } = await makeKnown();
    const between = await makeIntermediate(root);
    const device = await makeDevice(between, factory.name);
    const value = `Cert="${escaped(device)}";Chain="${escaped(device, between)}"`;
    expect(await ask("envoy", [[envoy, value], proven])).toMatchObject({ status: 200 });
  });

  it.each<[string, (device: Issued) => [string, string][]]>([
    ["without the proof", (device) => [[envoy, `Cert="${escaped(device)}"`]]],
    [
      "with a wrong proof",
      (device) => [
        [envoy, `Cert="${escaped(device)}"`],
        ["X-Device-Proxy-Secret", "x".repeat(40)],
      ],
    ],
    ["with two proofs", (device) => [[envoy, `Cert="${escaped(device)}"`], proven, proven]],
    ["twice", (device) => [[envoy, `Cert="${escaped(device)}"`], [envoy, `Cert="${escaped(device)}"`], proven]],
    ["as two elements", (device) => [[envoy, `Cert="${escaped(device)}",Cert="${escaped(device)}"`], proven]],
    ["as two keys", (device) => [[envoy, `Cert="${escaped(device)}";Cert="${escaped(device)}"`], proven]],
    ["by its subject alone", ({ certificate }) => [[envoy, `Subject="${certificate.subject}"`], proven]],
    ["by its hash alone", () => [[envoy, "Hash=0123"], proven]],
    ["not escaped to the end", (device) => [[envoy, `Cert="${escaped(device)}%"`], proven]],
  ])("is refused %s", async (_, headers) => {
    expect(await ask("envoy", headers((await makeKnown()).device))).toMatchObject(refused);
  });

  it("says nothing from an address that is not listed, proof or not", async () => {
    const { device } = await makeKnown();
    const reply = await ask("unlisted", [[envoy, `Cert="${escaped(device)}"`], proven]);
    expect(reply).toMatchObject({ status: 401 });
    expect(reply.body.detail).not.toBe(oneSentence);
  });
});
