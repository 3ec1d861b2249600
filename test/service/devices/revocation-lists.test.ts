import { afterAll, beforeAll, expect, it } from "vitest";
import { type Issued, makeRevocationList, makeRoot } from "../../support/devices/device-certificates.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const factory = "revocation-lists";
let service: TestService;
let root: Issued;
let path: string;
beforeAll(async () => {
  service = await startTestService();
  await service.createFactory(factory);
  root = await makeRoot();
  const at = `/v1/factories/${factory}/device-authorities`;
  const { body } = await operator().post(at).send({ name: "devices", certificates: root.pem }).expect(201);
  path = `${at}/${body.id}`;
});
afterAll(() => service.close());

const operator = () => service.as(service.operatorToken);
const upload = (revocationList: string) => operator().put(`${path}/revocation-list`).send({ revocationList });
const base64 = async (...list: Parameters<typeof makeRevocationList>) =>
  (await makeRevocationList(...list)).toString("base64");

it("takes a revocation list as base64 and as PEM, in the place of the one before", async () => {
  const first = await upload(await base64(root, ["4a"]));
  expect([first.status, first.body]).toMatchObject([200, { number: "1", revoked: 1 }]);
  const second = await base64(root, ["4a", "4b"], { number: 2 });
  const pem = `-----BEGIN X509 CRL-----\n${second.replace(/.{64}/g, "$&\n").trim()}\n-----END X509 CRL-----\n`;
  const replaced = await upload(pem);
  expect([replaced.status, replaced.body]).toMatchObject([200, { number: "2", revoked: 2 }]);
  expect((await upload(second)).status).toBe(200);
  expect((await operator().get(path)).body.revocationLists).toEqual([replaced.body]);
});

it("refuses a list that is older, another one of the same number, expired, a stranger's or none", async () => {
  expect((await upload(await base64(root, ["4a"], { number: 5 }))).status).toBe(200);
  for (const [list, sentence] of [
    [await base64(root, [], { number: 4 }), "no later than the one before"],
    [await base64(root, [], { number: 5 }), "no later than the one before"],
    [await base64(root, [], { number: 6, nextUpdate: new Date(Date.now() - 1_000) }), "has passed"],
    [await base64(await makeRoot(), [], { number: 6 }), "No certificate of this authority"],
    [root.pem, "Send one revocation list"],
    ["bm90IGEgbGlzdA==", "no revocation list"],
  ] as const) {
    expect(expectProblem(await upload(list), "certificate-unsuitable").detail).toContain(sentence);
  }
  expect((await operator().get(path)).body.revocationLists).toMatchObject([{ number: "5", revoked: 1 }]);
});
