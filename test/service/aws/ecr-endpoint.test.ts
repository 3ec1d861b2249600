import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type AwsFactory,
  accountId,
  ecrTarget,
  host,
  type KeyPair,
  otherHost,
  otherRegion,
  type Signing,
  send,
  sendSigned,
  startAwsFactory,
} from "../../support/aws/aws-factory.js";
import { pull } from "../../support/broker/brokered-factory.js";
import { deafen } from "../../support/deafen.js";
import { startTestService } from "../../support/test-service.js";

let factory: AwsFactory;
let url: string;
let job: { id: string; token: string };
let keys: KeyPair;
beforeAll(async () => {
  factory = await startAwsFactory();
  url = `${factory.service.url}/aws/ecr/${factory.factory.name}`;
});
afterAll(() => factory.close());
beforeEach(async () => {
  job = await factory.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
  keys = await factory.keysOf(job);
});

const sign = (signing: Partial<Signing> = {}, by: KeyPair = keys) => sendSigned(by, { url, ...signing });

/** Makes a change that takes time otherwise, or cannot be asked for. */
async function change(sql: string, values: unknown[]): Promise<void> {
  const { pool } = factory.service.database;
  await pool.query(sql, values);
  await pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [factory.factory.id]);
}

/** The Authorization that docker makes of the reply. */
function basicOf(reply: { json(): unknown }): string {
  const body: { authorizationData?: { authorizationToken: string }[] } = Object(reply.json());
  return `Basic ${body.authorizationData?.[0]?.authorizationToken}`;
}

describe("GetAuthorizationToken", () => {
  it("gives the brokered token, limited to what the job may pull", async () => {
    const reply = await sign();
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, "application/x-amz-json-1.1"]);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(reply.json()).toEqual({
      authorizationData: [
        { authorizationToken: expect.any(String), expiresAt: expect.any(Number), proxyEndpoint: `https://${host}` },
      ],
    });
    expect(await pull(factory.clouds, host, "team/app", basicOf(reply))).toBe(200);
    expect(await pull(factory.clouds, host, "team/other", basicOf(reply))).toBe(403);
  });

  it("is answered at / and with a slash at the end of the path too: the keys tell the factory", async () => {
    for (const path of [`${factory.service.url}/`, `${url}/`]) {
      expect((await sign({ url: path })).status).toBe(200);
    }
  });

  it("is answered when the deprecated registryIds name the account of the registry", async () => {
    for (const registryIds of [[accountId], [], [accountId, accountId]])
      expect((await sign({ body: JSON.stringify({ registryIds }) })).status).toBe(200);
  });

  it("is refused for registryIds of another account, and for a body that cannot be read", async () => {
    const issued = (await factory.events("registry-token.issued")).length;
    for (const registryIds of [["999999999999"], [accountId, "999999999999"], [""], [7], "x"]) {
      const reply = await sign({ body: JSON.stringify({ registryIds }) });
      expect([reply.status, reply.json()]).toEqual([
        400,
        { __type: "InvalidParameterException", message: expect.stringContaining("registryIds") },
      ]);
    }
    expect((await sign({ body: "registryIds" })).status).toBe(400);
    expect((await factory.events("registry-token.issued")).length).toBe(issued);
  });

  it("a client that tries again with the same signature gets the same token, and the audit says so", async () => {
    const at = new Date();
    const replies = [await sign({ at }), await sign({ at }), await sign({ at: new Date(at.getTime() + 1_000) })];
    expect(new Set(replies.map(basicOf)).size).toBe(1);
    const events = (await factory.events("registry-token.issued")).slice(-3);
    expect(events.map(({ repeated }) => repeated)).toEqual([undefined, true, undefined]);
    expect(events[1]).toMatchObject({
      actor: { kind: "job", id: job.id },
      via: "ecr-api",
      entry: host,
      cached: true,
      repositories: ["team/app"],
    });
  });
});

describe("a signature that is not the request's", () => {
  it.each<[string, string, Partial<Signing>]>([
    ["an altered body", "UnrecognizedClientException", { tamper: (one) => Object.assign(one, { body: '{"a":1}' }) }],
    ["another host", "UnrecognizedClientException", { headers: { host: "other.example.com" } }],
    [
      "an altered header that was signed",
      "UnrecognizedClientException",
      {
        headers: { "x-amz-extra": "signed" },
        tamper: ({ headers }) => Object.assign(headers, { "x-amz-extra": "other" }),
      },
    ],
    [
      "an altered signature",
      "UnrecognizedClientException",
      {
        tamper: ({ headers }) =>
          Object.assign(headers, {
            authorization: headers.authorization?.replace(/.$/, (end) => (end === "0" ? "1" : "0")),
          }),
      },
    ],
    ["another path", "UnrecognizedClientException", { tamper: (one) => Object.assign(one, { url: `${one.url}/` }) }],
    [
      "an altered time, within the five minutes",
      "UnrecognizedClientException",
      {
        tamper: ({ headers }) =>
          Object.assign(headers, {
            "x-amz-date": new Date(Date.now() - 30_000).toISOString().replace(/[-:]|\.\d+/g, ""),
          }),
      },
    ],
    [
      "a header that was signed and is gone",
      "InvalidSignatureException",
      {
        headers: { "x-amz-extra": "signed" },
        tamper: ({ headers }) => {
          delete headers["x-amz-extra"];
        },
      },
    ],
    ["a hash of another body", "InvalidSignatureException", { headers: { "x-amz-content-sha256": "0".repeat(64) } }],
    ["an unsigned payload", "InvalidSignatureException", { headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } }],
    ["a time of ten minutes ago", "InvalidSignatureException", { at: new Date(Date.now() - 600_000) }],
    ["a time of ten minutes ahead", "InvalidSignatureException", { at: new Date(Date.now() + 600_000) }],
    ["another region", "InvalidSignatureException", { region: "eu-west-1" }],
    [
      "a target that was not signed",
      "InvalidSignatureException",
      {
        tamper: ({ headers }) =>
          Object.assign(headers, { authorization: headers.authorization?.replace(";x-amz-target", "") }),
      },
    ],
    [
      "a date in its scope that is not its time's",
      "InvalidSignatureException",
      {
        tamper: ({ headers }) =>
          Object.assign(headers, { authorization: headers.authorization?.replace(/\/\d{8}\//, "/20150830/") }),
      },
    ],
    ["no signature at all", "InvalidSignatureException", { tamper: ({ headers }) => delete headers.authorization }],
    [
      "half a header",
      "InvalidSignatureException",
      {
        tamper: ({ headers }) => Object.assign(headers, { authorization: headers.authorization?.slice(0, -10) }),
      },
    ],
  ])("%s is refused in AWS's shape", async (_what, name, signing) => {
    const before = (await factory.events("registry-token.issued")).length;
    const reply = await sign(signing);
    expect(reply.json()).toEqual({ __type: name, message: expect.stringMatching(/\w/) });
    expect([reply.status, reply.headers.get("content-type")]).toEqual([403, "application/x-amz-json-1.1"]);
    expect(await factory.events("registry-token.issued")).toHaveLength(before);
  });

  it("tells whose clock is wrong, where the region is, and of a session token that has no business here", async () => {
    const late = await sign({ at: new Date(Date.now() - 600_000) });
    expect(late.json().message).toContain("Set the clock of your machine");
    // The SDK for JavaScript sets its clock by this header and tries again.
    expect(Date.parse(late.headers.get("date") ?? "")).toBeGreaterThan(Date.now() - 60_000);
    expect((await sign({ region: "eu-west-1" })).json().message).toContain("us-east-2");
    const withToken = await sendSigned({ ...keys, sessionToken: "left-over" }, { url });
    expect(withToken.json().message).toContain("AWS_SESSION_TOKEN");
  });
});

describe("keys that are not good", () => {
  const sentence = /keys are not valid/;

  it("are all answered alike: of nobody, of another factory, of no job, with a wrong secret", async () => {
    const other = await factory.service.createFactory();
    const strangers = [
      { ...keys, accessKeyId: "AKIAIOSFODNN7EXAMPLE" },
      { ...keys, accessKeyId: `FSJK${"A".repeat(42)}` },
      { ...keys, secretAccessKey: "not-a-real-secret" },
    ];
    const replies = await Promise.all([
      ...strangers.map((by) => sign({}, by)),
      sign({ url: `${factory.service.url}/aws/ecr/${other.name}` }),
      sign({ url: `${factory.service.url}/aws/ecr/no-such-factory` }),
    ]);
    expect(new Set(replies.map(({ text, status }) => `${status} ${text}`)).size).toBe(1);
    expect(replies[0]?.json()).toMatchObject({
      __type: "UnrecognizedClientException",
      message: expect.stringMatching(sentence),
    });
  });

  it("end with their job, at once and on every replica", async () => {
    const replica = await startTestService(factory.environment, factory.service);
    const there = { url: `${replica.url}/aws/ecr/${factory.factory.name}` };
    expect([(await sign()).status, (await sign(there)).status]).toEqual([200, 200]);
    const path = `/v1/factories/${factory.factory.name}/jobs/${job.id}`;
    await factory.service.as(factory.service.operatorToken).delete(path).expect(204);
    for (const reply of [await sign(there), await sign()]) expect(reply.json().message).toMatch(sentence);
    await replica.close();
  });

  it("end when their job expires", async () => {
    await change("UPDATE credentials SET expires_at = now() WHERE id = $1", [job.id]);
    expect((await sign()).json().message).toMatch(sentence);
  });

  it("end with their registry entry, and say so before its end is announced as well", async () => {
    const broker = await startAwsFactory();
    const own = await broker.openJob();
    const pair = await broker.keysOf(own, otherHost);
    const at = `${broker.service.url}/aws/ecr/${broker.factory.name}`;
    const signing = { url: at, region: otherRegion };
    expect((await sendSigned(pair, signing)).status).toBe(200);
    await deafen(broker.service);
    await broker.putConfig("container_registries: []\n");
    expect((await sendSigned(pair, signing)).json().message).toMatch(sentence);
    await broker.close();
  });

  it("of one entry open no other", async () => {
    const whole = await factory.openJob();
    const [here, there] = [await factory.keysOf(whole), await factory.keysOf(whole, otherHost)];
    expect((await sign({ region: otherRegion }, { ...here, accessKeyId: there.accessKeyId })).status).toBe(403);
    const reply = await sign({ region: otherRegion }, there);
    expect(reply.text).toContain(otherHost);
    expect(reply.text).not.toContain(host);
  });

  it("are good for nothing at AWS, nor as a token of ours", async () => {
    const reply = await factory.clouds.request({
      host: `api.ecr.us-east-2.amazonaws.com`,
      method: "POST",
      path: "/",
      headers: { "x-amz-target": ecrTarget, authorization: `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/x` },
    });
    expect(reply.status).not.toBe(200);
    const { status } = await factory.service.as(keys.secretAccessKey).get("/v1/whoami");
    expect(status).toBe(401);
  });
});

describe("when something is in the way, the program prints", () => {
  it("a cloud that is down, slow or throttling, as an error that is worth another try", async () => {
    const { sts } = factory.clouds.aws;
    const uncached = await factory.openJob({ grants: [{ registry: host, repositories: ["team/not-asked-for-yet"] }] });
    const pair = await factory.keysOf(uncached);
    const at = new Date();
    sts.fail("server-error");
    const down = await sign({ at }, pair);
    sts.heal();
    expect(down).toMatchObject({ status: 502 });
    expect(down.json()).toMatchObject({ __type: "ServerException", message: expect.stringContaining("AWS STS") });
    sts.fail("throttle");
    const throttled = await sign({ at }, pair);
    sts.heal();
    expect([throttled.status, throttled.json().__type]).toEqual([429, "ThrottlingException"]);
    expect(throttled.headers.get("retry-after")).toMatch(/^\d+$/);
    sts.forget();
    const hold = sts.hold();
    const slow = sign({ at }, pair);
    await sts.received(1);
    hold.release();
    expect((await slow).status).toBe(200);
  });

  it("a stored credential that the cloud refuses, as an error that is not", async () => {
    const broken = await factory.openJob({ grants: [{ registry: "123456789012.dkr.ecr.us-west-2.amazonaws.com" }] });
    const pair = await factory.keysOf(broken, `${accountId}.dkr.ecr.us-west-2.amazonaws.com`);
    const reply = await sign({ region: "us-west-2" }, pair);
    expect([reply.status, reply.json().__type]).toEqual([400, "ServerException"]);
    expect(reply.json().message).toContain("aws_creds");
  });

  it("which operations there are, for any other of Amazon ECR", async () => {
    const target = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories";
    const reply = await sign({ headers: { "x-amz-target": target } });
    expect([reply.status, reply.json().__type]).toEqual([403, "AccessDeniedException"]);
    expect(reply.json().message).toContain("GetAuthorizationToken only");
  });

  it("and a job that is refused is in the audit, as itself", async () => {
    const grants = JSON.stringify([{ registry: otherHost, actions: ["pull"] }]);
    await change("UPDATE credentials SET grants = $2 WHERE id = $1", [job.id, grants]);
    const reply = await sign();
    expect(reply.json().__type).toBe("AccessDeniedException");
    const [event] = (await factory.events("request.refused")).slice(-1);
    expect(event).toMatchObject({ actor: { kind: "job", id: job.id }, route: "ecrOfFactory", code: "outside-grants" });
  });
});

describe("whoever does not come as an AWS program", () => {
  it("is told of our own API, as a problem", async () => {
    for (const path of ["/", `/aws/ecr/${factory.factory.name}`]) {
      const reply = await send(`${factory.service.url}${path}`, "POST", {}, "{}");
      expect(reply.json()).toMatchObject({ status: 401, code: "unauthenticated" });
      expect(reply.headers.get("content-type")).toBe("application/problem+json");
    }
  });
});
