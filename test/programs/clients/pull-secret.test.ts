import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestCertificateAuthority } from "../../support/certificates.js";
import { readCronJob } from "../../support/clients/read-manifests.js";
import { accountToken, trustServiceAccount } from "./cluster-identity.js";
import { bearerHost, type DeviceFactory, refreshTokenUser, startDeviceFactory, tenantHost } from "./device-factory.js";
import { openShMachine, type ShMachine, shells } from "./sh-machine.js";
import { jsonAnswer, type StubService, startStubService } from "./stub-service.js";

const { container } = readCronJob();
const script = container.args.join();
const path = "/api/v1/namespaces/shop/secrets/factory-secrets-registries?fieldManager=factory-secrets";
const clusterToken = "not-a-real-token-of-the-cluster";

let factory: DeviceFactory;
let cluster: StubService;
let clusterCa: string;
beforeAll(async () => {
  factory = await startDeviceFactory();
  await trustServiceAccount(factory, [{ registry: tenantHost }]);
  const authority = await createTestCertificateAuthority();
  clusterCa = authority.caPem;
  cluster = await startStubService(undefined, await authority.issue(["127.0.0.1"]));
});
afterAll(async () => {
  await cluster?.close();
  await factory?.close();
});

/** A pod of the CronJob: the environment of its manifest, with its folders and servers here. */
function openPod(shell: (typeof shells)[number]): ShMachine {
  const ofManifest = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
  const pod = openShMachine(shell, ofManifest);
  for (const folder of ["cluster", "work"]) mkdirSync(join(pod.directory, folder));
  pod.write("cluster/token", clusterToken);
  pod.write("cluster/namespace", "shop");
  pod.write("cluster/ca.crt", clusterCa);
  Object.assign(pod.environment, {
    FACTORY_SECRETS_URL: factory.service.url,
    FACTORY_SECRETS_FACTORY: factory.factory.name,
    IDENTITY_FILE: pod.write("identity", accountToken()),
    CA_FILE: pod.write("ca.pem", factory.caPem),
    CLUSTER_URL: cluster.url,
    CLUSTER_DIR: join(pod.directory, "cluster"),
    WORK_DIR: join(pod.directory, "work"),
  });
  return pod;
}

for (const shell of shells) {
  describe.skipIf(shell.isMissing)(`the CronJob's script under ${shell.name}`, () => {
    let pod: ShMachine;
    beforeEach(() => {
      cluster.asked.length = 0;
      cluster.answer = jsonAnswer(200, { kind: "Secret", data: { ".dockerconfigjson": "as-the-cluster-has-it" } });
      pod = openPod(shell);
    });
    afterEach(() => pod.close());

    test("gives the cluster the secret as the service made it, and prints neither it nor a token", async () => {
      for (const program of ["curl", "sed", "tr", "cat", "grep", "mv"]) pod.watch(program);
      const done = await pod.script(script);
      expect(done).toEqual({ exitCode: 0, stdout: "factory-secrets-registries is fresh.\n", stderr: "" });
      expect(cluster.asked).toHaveLength(1);
      const [{ method, path: asked, headers, body } = { method: "", path: "", headers: {}, body: "" }] = cluster.asked;
      expect({ method, path: asked }).toEqual({ method: "PATCH", path });
      expect(headers).toMatchObject({
        authorization: `Bearer ${clusterToken}`,
        "content-type": "application/merge-patch+json",
      });
      const { stringData, ...rest } = JSON.parse(body);
      expect(rest).toEqual({
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "factory-secrets-registries" },
        type: "kubernetes.io/dockerconfigjson",
      });
      const { auths } = JSON.parse(stringData[".dockerconfigjson"]);
      expect(Object.keys(auths)).toEqual([tenantHost]);
      const login = Buffer.from(auths[tenantHost].auth, "base64").toString("utf8");
      expect(login.startsWith(`${refreshTokenUser}:`)).toBe(true);
      const secrets = [clusterToken, readFileSync(join(pod.directory, "identity"), "utf8"), auths[tenantHost].auth];
      expect(pod.calls().filter((call) => secrets.some((secret) => call.includes(secret)))).toEqual([]);
      expect(pod.calls().filter((call) => call.startsWith("curl "))).toHaveLength(2);
    });

    test.each<[string, () => Promise<unknown>, RegExp]>([
      [
        "the pod is nobody whom a rule knows",
        async () => pod.write("identity", accountToken({ "kubernetes.io": { namespace: "other" } })),
        /^factory-secrets refused \(401\): \S/,
      ],
      [
        "the factory does not exist",
        async () => Object.assign(pod.environment, { FACTORY_SECRETS_FACTORY: "no-such-factory" }),
        /^factory-secrets refused \(40[14]\): \S/,
      ],
      [
        "the service is down",
        async () => Object.assign(pod.environment, { FACTORY_SECRETS_URL: "https://127.0.0.1:1" }),
        /does not answer\.\n$/,
      ],
      [
        "another authority signed the service's certificate",
        async () => pod.write("ca.pem", clusterCa),
        /curl: \(60\)[\s\S]*does not answer\.\n$/,
      ],
      [
        "something else answers",
        async () =>
          Object.assign(pod.environment, {
            FACTORY_SECRETS_URL: cluster.url,
            CA_FILE: `${pod.directory}/cluster/ca.crt`,
          }),
        /is not factory-secrets\.\n$/,
      ],
    ])("leaves the secret as it is and says why when %s", async (_, prepare, sentence) => {
      await prepare();
      if (pod.environment.FACTORY_SECRETS_URL === cluster.url) cluster.answer = jsonAnswer(200, { hello: "world" });
      const done = await pod.script(script);
      expect(done).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringMatching(sentence) });
      expect(cluster.asked.filter(({ method }) => method === "PATCH")).toEqual([]);
    });

    test.each([
      [403, "Forbidden"],
      [404, "NotFound"],
    ])("fails with the cluster's reason when it answers %i, and shows nothing else of that", async (status, reason) => {
      const message = `echo of ${clusterToken}`;
      cluster.answer = jsonAnswer(status, { kind: "Status", status: "Failure", message, reason, code: status });
      const done = await pod.script(script);
      expect(done).toEqual({ exitCode: 1, stdout: "", stderr: `The cluster refused (${status}): ${reason}\n` });
    });

    test("fails when another authority signed the cluster's certificate, and sends it nothing", async () => {
      pod.write("cluster/ca.crt", factory.caPem);
      const done = await pod.script(script);
      expect(done).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/The cluster at .* does not answer/) });
      expect(cluster.asked).toEqual([]);
    });
  });
}

describe.skipIf(shells.every(({ isMissing }) => isMissing))("a registry that gives a bearer", () => {
  test("fails the whole: the secret never holds half of the registries", async () => {
    const [shell] = shells.filter(({ isMissing }) => !isMissing);
    if (!shell) return;
    await trustServiceAccount(factory, [{ registry: bearerHost, repositories: ["team/app"] }]);
    cluster.asked.length = 0;
    const pod = openPod(shell);
    const done = await pod.script(script);
    expect(done).toMatchObject({ exitCode: 1, stdout: "" });
    expect(done.stderr).toMatch(/refused \(422\): .*gives a bearer.*the kubelet cannot carry/);
    expect(cluster.asked).toEqual([]);
    pod.close();
  });
});
