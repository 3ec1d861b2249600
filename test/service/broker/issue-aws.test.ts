import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  authorizationOf,
  awsUser,
  type BrokeredFactory,
  pull,
  startBrokeredFactory,
} from "../../support/broker/brokered-factory.js";
import { policyAllowing } from "../../support/clouds/aws/iam-policy.js";

const accountId = "123456789012";
const otherAccountId = "210987654321";
const puller = awsUser("1EXAMPLE");
const second = awsUser("2EXAMPLE");
const weak = awsUser("3EXAMPLE");
const host = `${accountId}.dkr.ecr.us-east-2.amazonaws.com`;
const otherHost = `${otherAccountId}.dkr.ecr.eu-west-1.amazonaws.com`;

let broker: BrokeredFactory;
let job: string;
beforeAll(async () => {
  broker = await startBrokeredFactory(({ aws }) => {
    const userArn = aws.iam.addUser({ accountId, userName: "puller", ...puller });
    aws.iam.addUser({ accountId: otherAccountId, userName: "second", ...second });
    aws.iam.addUser({ accountId, userName: "weak", ...weak, policy: policyAllowing(["ecr:*"]) });
    aws.iam.addRole({ accountId, roleName: "pull", trusts: [userArn], maxSessionSeconds: 43_200 });
    aws.addRegistry(accountId, "us-east-2");
  });
  const base = puller.section;
  const role = `[role]\nrole_arn = arn:aws:iam::${accountId}:role/pull\nsource_profile = default\n`;
  await broker.putSecret("aws_creds", `[default]\n${base}${role}[weak]\n${weak.section}`);
  job = (await broker.openJob()).token;
});
afterAll(() => broker.close());
beforeEach(() => {
  for (const endpoint of [broker.clouds.aws.sts, broker.clouds.aws.ecr]) endpoint.forget();
});

const entry = (...lines: string[]): string =>
  [
    "container_registries:",
    "- type: aws",
    "  aws_creds_secret_name: aws_creds",
    ...lines.map((line) => `  ${line}`),
    "",
  ].join("\n");

describe("an entry without a url", () => {
  beforeAll(() => broker.putConfig(entry("region: us-east-2")));

  it("is answered with exactly the fields of the contract, and takes its host from ECR", async () => {
    const reply = await broker.ask(job);
    expect(reply.status).toBe(200);
    expect(reply.headers["cache-control"]).toBe("no-store");
    expect(reply.body).toEqual({
      tokens: [
        {
          registry: host,
          type: "aws",
          kind: "password",
          username: "AWS",
          password: expect.any(String),
          expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          refreshAfter: expect.stringMatching(/Z$/),
          scopeEnforcedBy: "none",
          revocable: false,
        },
      ],
    });
    const [token] = reply.body.tokens;
    expect(Date.parse(token.refreshAfter)).toBeLessThan(Date.parse(token.expiresAt));
    expect(await pull(broker.clouds, host, "team/anything", authorizationOf(token))).toBe(200);
  });

  it("is found by the entry's id and by the host alike", async () => {
    for (const registry of ["aws:us-east-2", host, `${host.toUpperCase()}:443`]) {
      const reply = await broker.ask(job, { registry });
      expect(reply.body.tokens).toMatchObject([{ registry: host }]);
    }
  });

  it("gives user keys a token that ECR itself holds to the repositories", async () => {
    const reply = await broker.ask(job, { registry: host, repositories: ["team/base", "team/app", "team/app"] });
    expect(reply.body.tokens).toMatchObject([
      { repositories: ["team/app", "team/base"], scopeEnforcedBy: "iam-session-policy" },
    ]);
    const authorization = authorizationOf(reply.body.tokens[0]);
    expect(await pull(broker.clouds, host, "team/app", authorization)).toBe(200);
    expect(await pull(broker.clouds, host, "team/other", authorization)).toBe(403);
    expect(broker.clouds.aws.sts.calls("GetFederationToken")).toBe(1);
  });
});

describe("profiles of one credentials file", () => {
  it("are chosen by the entry: a role is assumed and narrowed", async () => {
    await broker.putConfig(entry("region: us-east-2", `url: ${host}`, "profile: role"));
    const reply = await broker.ask(job, { registry: host, repositories: ["team/app"] });
    expect(reply.body.tokens).toMatchObject([{ registry: host, scopeEnforcedBy: "iam-session-policy" }]);
    expect(broker.clouds.aws.sts.calls("AssumeRole")).toBe(1);
    const authorization = authorizationOf(reply.body.tokens[0]);
    expect(await pull(broker.clouds, host, "team/app", authorization)).toBe(200);
    expect(await pull(broker.clouds, host, "team/other", authorization)).toBe(403);
  });

  it("without sts:GetFederationToken cannot be narrowed: 422 names the permission, allowBroader takes it whole", async () => {
    await broker.putConfig(entry("region: us-east-2", `url: ${host}`, "profile: weak"));
    const demand = { registry: host, repositories: ["team/app"] };
    const refused = await broker.ask(job, demand);
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ code: "scope-not-enforceable" });
    expect(refused.body.detail).toContain("sts:GetFederationToken");
    const broader = await broker.ask(job, { ...demand, allowBroader: true });
    expect(broader.body.tokens).toMatchObject([{ scopeEnforcedBy: "none" }]);
    expect(broader.body.tokens[0]).not.toHaveProperty("repositories");
  });

  it("never narrow a job with grants to nothing: it gets no broader token, allowBroader or not", async () => {
    const { token } = await broker.openJob({
      grants: [{ registry: host, repositories: ["team/app"], actions: ["pull"] }],
    });
    for (const body of [{}, { registry: host }, { registry: host, repositories: ["team/app"], allowBroader: true }]) {
      const reply = await broker.ask(token, body);
      expect(reply.body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
    }
  });

  it("that are missing are named", async () => {
    await broker.putConfig(entry("region: us-east-2", "profile: absent"));
    const reply = await broker.ask(job);
    expect(reply.body).toMatchObject({ status: 422, code: "secret-malformed" });
    expect(reply.body.detail).toContain("absent");
  });
});

describe("a secret that is no good", () => {
  it("is refused for a forbidden key, by name and line, without its value; a warning came when it was written", async () => {
    await broker.putConfig(entry("region: us-east-2"));
    const path = `/v1/factories/${broker.factory.name}/secrets/aws_creds`;
    const text = `[default]\n${puller.section}credential_process = /bin/evil-program\n`;
    const put = () => broker.service.as(broker.service.operatorToken).put(path).send({ value: text });
    expect((await put()).body).toMatchObject({ status: 422, code: "secret-malformed" });
    const written = await put().query({ allowUnusable: "true" });
    expect(written.body.warnings).toEqual([
      expect.objectContaining({ message: expect.stringContaining("credential_process") }),
    ]);
    const reply = await broker.ask(job);
    expect(reply.body).toMatchObject({ status: 422, code: "secret-malformed" });
    expect(reply.body.detail).toMatch(/line 4.*credential_process|credential_process.*line 4/i);
    expect(reply.text + written.text).not.toContain("evil-program");
    expect(broker.clouds.aws.ecr.requests).toEqual([]);
    await broker.putSecret("aws_creds", `[default]\n${puller.section}`);
    expect((await broker.ask(job)).status).toBe(200);
  });

  it("is refused by the cloud: the answer names secret, version, entry and AWS's code", async () => {
    await broker.putConfig(entry("region: us-east-2"));
    const wrong = awsUser("9EXAMPLE");
    await broker.putSecret("aws_creds", `[default]\n${wrong.section}`);
    const reply = await broker.ask(job);
    expect(reply.body).toMatchObject({ status: 502, code: "upstream-refused" });
    expect(reply.body.detail).toMatch(/"aws_creds" \(version \d+\) of registry entry "aws:us-east-2"/);
    expect(reply.body.detail).toMatch(/UnrecognizedClientException|InvalidClientTokenId/);
    const failed = await broker.events("registry-token.failed");
    expect(failed.at(-1)).toMatchObject({ secret: "aws_creds", code: "upstream-refused", outcome: "failed" });
    await broker.putSecret("aws_creds", `[default]\n${puller.section}`);
  });
});

it("refuses a region that does not fit the host, before anything is sent", async () => {
  const put = broker.service.as(broker.service.operatorToken).put(`/v1/factories/${broker.factory.name}/config`);
  const reply = await put.set("Content-Type", "application/yaml").send(entry("region: us-east-2", `url: ${otherHost}`));
  expect(reply.body).toMatchObject({ status: 422, code: "invalid-config" });
});

it.each(["public.ecr.aws", "ecr-public.aws.com"])("answers for ECR Public by its name %s, whole only", async (host) => {
  await broker.putConfig(entry(`url: ${host}`));
  const reply = await broker.ask(job);
  expect(reply.body.tokens).toMatchObject([
    { registry: host, type: "aws", username: "AWS", kind: "password", scopeEnforcedBy: "none" },
  ]);
  expect(broker.clouds.aws.issuedPassword(reply.body.tokens[0].password)).toMatchObject({
    registryFlavour: "ecr-public",
  });
  const narrow = await broker.ask(job, { registry: host, repositories: ["nginx/nginx"] });
  expect(narrow.body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
});
