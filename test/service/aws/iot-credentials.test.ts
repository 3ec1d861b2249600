import { request } from "node:https";
import { GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AwsFactory, accountId, host, otherHost, startAwsFactory } from "../../support/aws/aws-factory.js";
import { pull } from "../../support/broker/brokered-factory.js";
import { ecrClient } from "../../support/clouds/aws-clients.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register, withdraw } from "../../support/devices/device-service.js";
import { recordText } from "../../support/leak-watch.js";

type Device = Issued & { id: string };
type Reply = {
  status: number;
  body: {
    message?: string;
    detail?: string;
    credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken: string; expiration: string };
  };
};

const policy = {
  grants: [{ registry: host, repositories: ["team/app"], actions: ["pull" as const] }],
  roleAliases: [
    { alias: "ecr-pull", registry: host },
    { alias: "elsewhere", registry: otherHost },
  ],
};

let files: Awaited<ReturnType<typeof makeServerFiles>>;
let factory: AwsFactory;
let authority: string;
let root: Issued;
let device: Device;
beforeAll(async () => {
  files = await makeServerFiles();
  factory = await startAwsFactory(files.environment);
  root = await makeRoot();
  authority = await register(factory.service, factory.factory, { certificates: [root], policy });
  device = await makeDevice(root, factory.factory.name);
});
afterAll(async () => {
  await factory.close();
  await files.remove();
});

/** Asks as AWS IoT's clients do. */
function ask(alias: string, by: Issued | undefined = device, headers: Record<string, string> = {}): Promise<Reply> {
  const shown = by && { cert: by.pem, key: by.keyPem };
  const url = `${factory.service.deviceUrl}/role-aliases/${alias}/credentials`;
  return new Promise((resolve, reject) => {
    const sent = request(url, { ca: files.caPem, agent: false, headers, ...shown }, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      reply.on("end", () => {
        recordText(text);
        resolve({ status: reply.statusCode ?? 0, body: JSON.parse(text) });
      });
    });
    sent.on("error", reject).end();
  });
}

describe("the AWS IoT credentials provider", () => {
  it("gives a device credentials, by an alias of its authority's policy or the id of the entry", async () => {
    for (const alias of ["ecr-pull", host]) {
      expect(await ask(alias)).toEqual({
        status: 200,
        body: {
          credentials: {
            accessKeyId: expect.stringMatching(/^ASIA/),
            secretAccessKey: expect.any(String),
            sessionToken: expect.any(String),
            expiration: expect.stringMatching(/Z$/),
          },
        },
      });
    }
    const [event] = (await factory.events("aws-credentials.issued")).slice(-1);
    expect(event).toMatchObject({
      actor: { kind: "device", id: device.id },
      via: "iot-credentials",
      evidence: { authority: { id: authority } },
      repositories: ["team/app"],
    });
  });

  it("that AWS holds to what the policy grants", async () => {
    const { body } = await ask("ecr-pull");
    const { accessKeyId = "", secretAccessKey = "", sessionToken = "" } = body.credentials ?? {};
    const client = ecrClient(factory.clouds, { accessKeyId, secretAccessKey, sessionToken });
    const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}));
    const basic = `Basic ${authorizationData?.[0]?.authorizationToken}`;
    expect(await pull(factory.clouds, host, "team/app", basic)).toBe(200);
    expect(await pull(factory.clouds, host, "team/other", basic)).toBe(403);
  });

  it("takes the device's own id as the thing name, and no other", async () => {
    expect((await ask("ecr-pull", device, { "x-amzn-iot-thingname": device.id })).status).toBe(200);
    const refused = await ask("ecr-pull", device, { "x-amzn-iot-thingname": "another-thing" });
    expect(refused).toMatchObject({ status: 403, body: { message: "Invalid thing name passed" } });
  });

  it("refuses in AWS's words: no such alias, one that is not granted, no certificate, a stranger's", async () => {
    const whole = await makeRoot();
    await register(factory.service, factory.factory, { certificates: [whole], policy: {} });
    const unlimited = await makeDevice(whole, factory.factory.name);
    expect(await ask("no-such-alias", unlimited)).toMatchObject({
      status: 404,
      body: { message: "Role alias does not exist" },
    });
    expect(await ask("ecr-pull", unlimited)).toMatchObject({ status: 404 });
    expect(await ask("elsewhere")).toMatchObject({
      status: 403,
      body: { message: "Access Denied", detail: expect.stringContaining("may ask for") },
    });
    const denied = { status: 403, body: { message: "Access Denied" } };
    expect(await ask("ecr-pull", await makeDevice(await makeRoot(), factory.factory.name))).toMatchObject(denied);
    const url = `${factory.service.url}/role-aliases/ecr-pull/credentials`;
    const withToken = factory.service.as(factory.service.operatorToken);
    expect(await withToken.get(url.replace(factory.service.url, ""))).toMatchObject({ status: 403 });
  });

  it("says that the role cannot be assumed, and why beside", async () => {
    const whole = await makeRoot();
    await register(factory.service, factory.factory, { certificates: [whole], policy: {} });
    const unlimited = await makeDevice(whole, factory.factory.name);
    expect(await ask(`${accountId}.dkr.ecr.us-west-2.amazonaws.com`, unlimited)).toMatchObject({
      status: 400,
      body: {
        message: "Unable to assume the role, or the role to assume does not exist",
        detail: expect.stringContaining("temporary keys"),
      },
    });
  });

  it("ends with the authority, at once", async () => {
    expect((await ask("ecr-pull")).status).toBe(200);
    await withdraw(factory.service, factory.factory, authority);
    expect(await ask("ecr-pull")).toMatchObject({ status: 403, body: { message: "Access Denied" } });
  });
});
