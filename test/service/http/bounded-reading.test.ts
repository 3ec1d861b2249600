import { afterAll, beforeAll, expect, it } from "vitest";
import { expectCpuSecondsBelow } from "../../support/cpu-seconds.js";
import { makeRoot } from "../../support/devices/device-certificates.js";
import { startTestService, type TestService } from "../../support/test-service.js";

/** What one tenant writes within every limit of length must not keep all the others waiting while it is read. */

let service: TestService;
let path: string;
beforeAll(async () => {
  service = await startTestService();
  path = `/v1/factories/${(await service.createFactory()).name}`;
});
afterAll(() => service.close());

const operator = () => service.as(service.operatorToken);
const blanks = (count: number) => " ".repeat(count);

it("the certificates of an authority, and its revocation list, may be blanks", async () => {
  const blank = (label: string): string => `-----BEGIN ${label}-----\n${blanks(90_000)}!`;
  const authorities = `${path}/device-authorities`;
  const root = (await makeRoot()).pem;
  const { id } = (await operator().post(authorities).send({ name: "devices", certificates: root }).expect(201)).body;
  // 422: it was read, and is none.
  await expectCpuSecondsBelow(0.5, async () => {
    await operator()
      .post(authorities)
      .send({ name: "blanks", certificates: blank("CERTIFICATE") })
      .expect(422);
  });
  await expectCpuSecondsBelow(0.5, async () => {
    const list = { revocationList: blank("X509 CRL") };
    await operator().put(`${authorities}/${id}/revocation-list`).send(list).expect(422);
  });
});

it.each([
  ["empty lines", "\n".repeat(64_000)],
  ["blanks in front of a key", `[default]\na${blanks(64_000)}b=1`],
  ["blanks behind a header", `-----BEGIN OPENSSH PRIVATE KEY-----${blanks(64_000)}`],
])("the value of a secret that an entry names may be %s", async (_what, value) => {
  await operator()
    .put(`${path}/config?allowMissingSecrets=true`)
    .set("Content-Type", "application/yaml")
    .send(
      "container_registries:\n- type: aws\n  url: 123456789012.dkr.ecr.us-east-2.amazonaws.com\n  region: us-east-2\n  aws_creds_secret_name: creds\n",
    );
  await expectCpuSecondsBelow(0.5, async () => {
    expect((await operator().put(`${path}/secrets/creds?allowUnusable=true`).send({ value })).status).toBeLessThan(300);
  });
});

const rule = (conditions: readonly Record<string, unknown>[]) => ({
  issuer: "https://issuer.example.com",
  audience: "https://secrets.example.com",
  conditions: [{ claim: "sub", equals: "build-server-7" }, ...conditions],
  grants: [{ registry: "ghcr.io" }],
});

it("claims may be asked about that no rule of hundreds names", async () => {
  const many = (name: string) =>
    Array.from({ length: 45 }, (_, at) => ({ claim: `${name}_of_claim_${at}`, equals: "x" }));
  for (let at = 0; at < 20; at += 1) {
    const made = { name: `rule ${at}`, ...rule(many(`name_${at}`)) };
    await operator().post(`${path}/trust-rules`).send(made).expect(201);
  }
  const claims = Object.fromEntries(
    Array.from({ length: 2_000 }, (_, at) => [`other_${at}_of_claim_1`, `${at}`] as const),
  );
  await expectCpuSecondsBelow(1, () => operator().post(`${path}/trust-rules:explain`).send({ claims }).expect(200));
});

it("a rule has few stars, since each token is held against it", async () => {
  const glob = (at: number) => ({ claim: `claim_${at}`, glob: "a*a*a*a*a*a" });
  const made = operator()
    .post(`${path}/trust-rules`)
    .send({ name: "stars", ...rule([glob(1), glob(2), glob(3), glob(4)]) });
  await made.expect(400).expect(({ body }) => {
    expect(body.invalid).toEqual([{ at: "/conditions", reason: "must have at most 16 stars in all globs together" }]);
  });
  await operator()
    .post(`${path}/trust-rules`)
    .send({ name: "stars", ...rule([glob(1), glob(2), glob(3)]) })
    .expect(201);
});
