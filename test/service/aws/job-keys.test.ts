import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type AwsFactory,
  azureHost,
  host,
  otherHost,
  region,
  sendSigned,
  startAwsFactory,
} from "../../support/aws/aws-factory.js";
import { startTestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let factory: AwsFactory;
let path: string;
let job: { id: string; token: string };
beforeAll(async () => {
  factory = await startAwsFactory();
  path = `/v1/factories/${factory.factory.name}`;
});
afterAll(() => factory.close());
beforeEach(async () => {
  job = await factory.openJob();
});

const keys = (token: string | undefined, body: object = { registry: host }, id = job.id) =>
  factory.service.as(token).post(`${path}/jobs/${id}:aws-keys`).send(body);

describe("the keys of a job", () => {
  it("are given to it, the same pair each time, and to nobody twice", async () => {
    const first = await keys(job.token);
    expect(first.body).toEqual({
      entry: host,
      accessKeyId: expect.stringMatching(/^FSJK[A-Z2-7]{42}$/),
      secretAccessKey: expect.stringMatching(/^[A-Za-z0-9+/]{40}$/),
      region,
      endpointUrl: `${factory.service.url}/aws/ecr/${factory.factory.name}`,
      expiresAt: expect.stringMatching(/Z$/),
    });
    expect(first.headers["cache-control"]).toBe("no-store");
    expect((await keys(job.token)).body).toEqual(first.body);
    const second = await factory.openJob();
    const others = [
      await keys(second.token, { registry: host }, second.id),
      await keys(job.token, { registry: otherHost }),
    ];
    for (const { body } of others) {
      expect(body.accessKeyId).not.toBe(first.body.accessKeyId);
      expect(body.secretAccessKey).not.toBe(first.body.secretAccessKey);
    }
  });

  it("are the same on every replica, also when several make the factory's first ones at once", async () => {
    const replica = await startTestService(factory.environment, factory.service);
    const other = await factory.service.createFactory();
    const operator = factory.service.as(factory.service.operatorToken);
    const at = `/v1/factories/${other.name}`;
    await operator.put(`${at}/secrets/aws_creds`).send({ value: "x" }).expect(201);
    const document = `- type: aws\n  region: us-east-2\n  aws_creds_secret_name: aws_creds\n`;
    await operator.put(`${at}/config`).set("Content-Type", "application/yaml").send(document).expect(201);
    const own = await factory.service.openJob(other.name);
    const ask = (on: typeof replica) => on.as(own.token).post(`${at}/jobs/${own.id}:aws-keys`).send({}).expect(200);
    const replies = await Promise.all([ask(replica), ask(factory.service), ask(replica), ask(factory.service)]);
    expect(new Set(replies.map(({ body }) => body.secretAccessKey)).size).toBe(1);
    const stored = await factory.service.database.pool.query(
      "SELECT purpose, wrapped FROM data_keys WHERE factory_id = $1 AND purpose = 'aws-keys'",
      [other.id],
    );
    expect(stored.rows).toHaveLength(1);
    await replica.close();
  });

  it("are stored nowhere: what the database holds of them is their id, in the audit", async () => {
    const { body } = await keys(job.token);
    const { rows } = await factory.service.database.pool.query<{ all: string }>(
      "SELECT (SELECT string_agg(c::text, ' ') FROM credentials c) || (SELECT string_agg(convert_from(event, 'UTF8'), ' ') FROM audit_events) AS all",
    );
    expect(rows[0]?.all).not.toContain(body.secretAccessKey);
    const [event] = (await factory.events("job.aws-keys-made")).slice(-1);
    expect(event).toMatchObject({
      actor: { kind: "job", id: job.id },
      credential: { id: job.id },
      entry: host,
      accessKeyId: body.accessKeyId,
    });
  });

  it("are given to a credential without grants too, and to no other job", async () => {
    const issuer = await factory.service.createApiToken(factory.factory.name, ["registry-tokens:issue"]);
    expect((await keys(issuer.token)).status).toBe(200);
    expect((await keys(factory.service.operatorToken)).status).toBe(200);
    expectProblem(await keys((await factory.openJob()).token), "not-found");
    expectProblem(await keys(factory.service.operatorToken, { registry: host }, randomUUID()), "not-found");
    expectProblem(await keys(issuer.token, { registry: host }, issuer.id), "not-found");
  });

  it("are not given for a job that has ended, nor for one of another factory", async () => {
    const other = await factory.service.createFactory();
    const foreign = await factory.service.openJob(other.name);
    expectProblem(await keys(factory.service.operatorToken, { registry: host }, foreign.id), "not-found");
    await factory.service.as(factory.service.operatorToken).delete(`${path}/jobs/${job.id}`).expect(204);
    expectProblem(await keys(job.token), "unauthenticated");
    expectProblem(await keys(factory.service.operatorToken), "not-found");
  });

  it("are for one entry of type aws that the job may pull from", async () => {
    expect(expectProblem(await keys(job.token, {}), "registry-required").detail).toContain(otherHost);
    expectProblem(await keys(job.token, { registry: azureHost }), "not-representable");
    expectProblem(await keys(job.token, { registry: "nobody.example.com" }), "registry-unknown");
    const narrow = await factory.openJob({ grants: [{ registry: otherHost }] });
    expectProblem(await keys(narrow.token, { registry: host }, narrow.id), "outside-grants");
    // The operator gets what that job may have, not more.
    expectProblem(await keys(factory.service.operatorToken, { registry: host }, narrow.id), "outside-grants");
    expect((await keys(narrow.token, {}, narrow.id)).body).toMatchObject({ entry: otherHost, region: "eu-west-1" });
  });
});

describe("the formats that AWS programs read", () => {
  const files = (body: Record<string, unknown>, token = job.token) => factory.ask(token, body);

  it("aws-config of one registry: environment variables, and the two files", async () => {
    const { body } = await files({ registry: host, format: "aws-config" });
    const { accessKeyId, secretAccessKey, endpointUrl } = (await keys(job.token)).body;
    expect(body).toEqual({
      environment: [
        { name: "AWS_ENDPOINT_URL_ECR", value: endpointUrl },
        { name: "AWS_ACCESS_KEY_ID", value: accessKeyId },
        { name: "AWS_SECRET_ACCESS_KEY", value: secretAccessKey },
        { name: "AWS_DEFAULT_REGION", value: region },
        { name: "AWS_REGION", value: region },
      ],
      configFile: `[default]\nregion = ${region}\nservices = factory-secrets\n\n[services factory-secrets]\necr =\n  endpoint_url = ${endpointUrl}\n`,
      credentialsFile: `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
    });
  });

  it("aws-config of several: a profile for each, named as its entry", async () => {
    const { body } = await files({ requests: [{ registry: host }, { registry: otherHost }], format: "aws-config" });
    expect(body.environment).toBeUndefined();
    expect(body.configFile).toContain(`[profile ${host}]\nregion = us-east-2`);
    expect(body.configFile).toContain(`[profile ${otherHost}]\nregion = eu-west-1`);
    expect(body.configFile.match(/\[services factory-secrets\]/g)).toHaveLength(1);
    expect(body.credentialsFile).toContain(`[${host}]\naws_access_key_id`);
    const all = await files({ format: "aws-config" });
    expect(all.body.credentialsFile.match(/^\[/gm)).toHaveLength(3);
  });

  it("aws-credentials-file: what ci-scripts copies, with an endpoint for all of AWS in it", async () => {
    const { body } = await files({ registry: host, format: "aws-credentials-file" });
    const { accessKeyId, secretAccessKey } = (await keys(job.token)).body;
    expect(body).toEqual({
      credentialsFile: `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\nendpoint_url = ${factory.service.url}\n`,
    });
    expect((await sendSigned({ accessKeyId, secretAccessKey }, { url: `${factory.service.url}/` })).status).toBe(200);
  });

  it("refuse what they cannot be: a caller who is no job, repositories, several in one file", async () => {
    const issuer = await factory.service.createApiToken(factory.factory.name, ["registry-tokens:issue"]);
    expectProblem(await files({ registry: host, format: "aws-config" }, issuer.token), "not-representable");
    const repositories = { registry: host, repositories: ["team/app"], format: "aws-config" };
    expectProblem(await files(repositories), "invalid-request");
    expectProblem(await files({ format: "aws-credentials-file" }), "registry-required");
    const two = { requests: [{ registry: host }, { registry: otherHost }], format: "aws-credentials-file" };
    expectProblem(await files(two), "registry-required");
    expectProblem(await files({ registry: azureHost, format: "aws-config" }), "not-representable");
  });
});
