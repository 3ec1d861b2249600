import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type AwsFactory,
  host,
  type KeyPair,
  type Signing,
  send,
  sendSigned,
  startAwsFactory,
} from "../../support/aws/aws-factory.js";

let factory: AwsFactory;
let keys: KeyPair;
beforeAll(async () => {
  factory = await startAwsFactory();
});
afterAll(() => factory.close());
beforeEach(async () => {
  keys = await factory.keysOf(await factory.openJob(), host);
});

const sentence = "it answers Amazon ECR's GetAuthorizationToken only, and this call is for";

/** A call of another service that an `endpoint_url` for all of AWS has sent here. */
const call = (signing: Omit<Signing, "url"> & { path?: string }) =>
  sendSigned(keys, { ...signing, url: `${factory.service.url}${signing.path ?? "/"}` });

describe("a call of another service is refused in that service's own error shape", () => {
  it("JSON 1.0 and 1.1: DynamoDB, Secrets Manager", async () => {
    for (const [version, service] of [
      ["1.0", "dynamodb"],
      ["1.1", "secretsmanager"],
    ] as const) {
      const type = `application/x-amz-json-${version}`;
      const reply = await call({ service, headers: { "content-type": type, "x-amz-target": "X.ListThings" } });
      expect([reply.status, reply.headers.get("content-type")]).toEqual([403, type]);
      expect(reply.json()).toEqual({
        __type: "AccessDeniedException",
        message: expect.stringContaining(`${sentence} "${service}"`),
      });
    }
  });

  const form = { "content-type": "application/x-www-form-urlencoded", "x-amz-target": "" };

  it("the query protocol: STS, also unsigned, and EC2's own", async () => {
    const sts = await call({ service: "sts", headers: form, body: "Action=GetCallerIdentity&Version=2011-06-15" });
    expect([sts.status, sts.headers.get("content-type")]).toEqual([403, "text/xml"]);
    expect(sts.text).toMatch(
      /<ErrorResponse><Error><Type>Sender<\/Type><Code>AccessDenied<\/Code><Message>This is factory/,
    );
    expect(sts.text).toContain("for &quot;sts&quot;");
    const ec2 = await call({ service: "ec2", headers: form, body: "Action=DescribeInstances" });
    expect(ec2.text).toMatch(
      /<Response><Errors><Error><Code>AccessDenied<\/Code><Message>.*<\/RequestID><\/Response>$/,
    );
    const unsigned = await send(
      `${factory.service.url}/`,
      "POST",
      { "content-type": form["content-type"], "amz-sdk-invocation-id": "3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d" },
      "Action=AssumeRoleWithWebIdentity",
    );
    expect(unsigned.text).toContain("<Code>AccessDenied</Code>");
  });

  const rest = { "content-type": "application/octet-stream", "x-amz-target": "" };

  it("REST XML: S3 at any path and with any method, CloudFront", async () => {
    for (const [method, path] of [
      ["GET", "/"],
      ["PUT", "/bucket/key"],
      ["GET", "/v1/whoami"],
      ["DELETE", "/healthz"],
      ["GET", `/aws/ecr/${factory.factory.name}`],
    ] as const) {
      const reply = await call({ service: "s3", method, path, headers: rest });
      expect([method, path, reply.status]).toEqual([method, path, 403]);
      expect(reply.text).toMatch(
        /^<\?xml[^>]*>\n<Error><Code>AccessDenied<\/Code><Message>This is factory-secrets, not AWS/,
      );
    }
    expect((await call({ service: "s3", method: "HEAD", path: "/bucket", headers: rest })).status).toBe(403);
    const cloudFront = await call({ service: "cloudfront", method: "GET", path: "/2020-05-31/x", headers: rest });
    expect(cloudFront.text).toContain("<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>");
  });

  it("REST JSON: Lambda", async () => {
    const json = { "content-type": "application/json", "x-amz-target": "" };
    const reply = await call({ service: "lambda", path: "/2015-03-31/functions/x/invocations", headers: json });
    expect([reply.status, reply.headers.get("x-amzn-errortype")]).toEqual([403, "AccessDeniedException"]);
    expect(reply.json()).toEqual({ message: expect.stringContaining(`${sentence} "lambda"`) });
  });

  it("CBOR: CloudWatch", async () => {
    const cbor = { "content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "x-amz-target": "" };
    const reply = await call({ service: "monitoring", path: "/service/X/operation/PutMetricData", headers: cbor });
    expect([reply.status, reply.headers.get("smithy-protocol")]).toEqual([403, "rpc-v2-cbor"]);
    expect(reply.text).toContain("AccessDeniedException");
    expect(reply.text).toContain(sentence);
  });

  it("whatever keys it is signed with", async () => {
    const strangers = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "not-a-real-secret-of-somebody" };
    const reply = await sendSigned(strangers, { url: `${factory.service.url}/`, service: "ssm" });
    expect(reply.json().message).toContain(`${sentence} "ssm"`);
  });
});
