import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { awsPartitions } from "../../../src/core/aws-partitions.js";
import { ecrHost, ecrSuffix } from "../../../src/core/cloud-hosts.js";
import { account, accountToken, trustServiceAccount } from "./cluster-identity.js";
import { bearerHost, type DeviceFactory, refreshTokenUser, startDeviceFactory, tenantHost } from "./device-factory.js";
import { openShMachine, type ShMachine, shells } from "./sh-machine.js";
import { jsonAnswer, type StubService, startStubService } from "./stub-service.js";

/** k8s.io/kubelet at 63b3249724f7, pkg/apis/credentialprovider/v1/types.go: CredentialProviderResponse, AuthConfig. */
const CredentialProviderResponse = z.strictObject({
  apiVersion: z.literal("credentialprovider.kubelet.k8s.io/v1"),
  kind: z.literal("CredentialProviderResponse"),
  cacheKeyType: z.enum(["Image", "Registry", "Global"]),
  // metav1.Duration: what Go's time.ParseDuration reads.
  cacheDuration: z.string().regex(/^(\d+h)?(\d+m)?(\d+s)?$/),
  auth: z.record(z.string(), z.strictObject({ username: z.string(), password: z.string() })),
});

/** As the kubelet's encoder writes it: members in the order of the Go type, without blanks. */
function requestOf(image: string, more: Record<string, unknown> = {}): string {
  const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
  return `${JSON.stringify({ kind: "CredentialProviderRequest", apiVersion, image, ...more })}\n`;
}

let factory: DeviceFactory;
let stub: StubService;
beforeAll(async () => {
  factory = await startDeviceFactory();
  stub = await startStubService(jsonAnswer(200, { username: "u", password: "p" }));
  await trustServiceAccount(factory, [{ registry: tenantHost }]);
});
afterAll(async () => {
  await stub?.close();
  await factory?.close();
});

for (const shell of shells) {
  describe.skipIf(shell.isMissing)(`the kubelet's credential provider under ${shell.name}`, () => {
    let node: ShMachine;
    let stubbed: ShMachine;
    beforeAll(() => {
      node = factory.machine(shell);
      stubbed = openShMachine(shell, { FACTORY_SECRETS_URL: stub.url, FACTORY_SECRETS_FACTORY: "acme" });
      stubbed.environment.FACTORY_SECRETS_TOKEN_FILE = stubbed.write("token", "not-a-real-token");
    });
    afterAll(() => {
      node?.close();
      stubbed?.close();
    });
    const askStub = async (request: string) => {
      stub.asked.length = 0;
      const done = await stubbed.helper("kubelet", request);
      return { ...done, bodies: stub.asked.map(({ body }) => JSON.parse(body)), headers: stub.asked[0]?.headers };
    };

    test("answers with the login of that image, by the certificate of the node", async () => {
      const done = await node.helper("kubelet", requestOf(`${tenantHost}/team/app:1.2`));
      expect(done).toMatchObject({ exitCode: 0, stderr: "" });
      expect(CredentialProviderResponse.parse(JSON.parse(done.stdout))).toEqual({
        apiVersion: "credentialprovider.kubelet.k8s.io/v1",
        kind: "CredentialProviderResponse",
        cacheKeyType: "Image",
        cacheDuration: "4m0s",
        auth: { [`${tenantHost}/team/app`]: { username: refreshTokenUser, password: expect.any(String) } },
      });
    });

    test("answers by the token of the pod's service account, where the kubelet passes it", async () => {
      const settings = { FACTORY_SECRETS_URL: factory.service.url, FACTORY_SECRETS_CLIENT_CERT_FILE: "" };
      const request = requestOf(`${tenantHost}/team/app`, {
        serviceAccountToken: accountToken(),
        serviceAccountAnnotations: { "example.com/team": "shop" },
      });
      expect(await node.helper("kubelet", request, settings)).toMatchObject({ exitCode: 0, stderr: "" });
      const actors = (await factory.events("registry-token.issued")).map(({ actor }) => actor);
      expect(actors.at(-1)).toMatchObject({ kind: "oidc" });
    });

    test("refuses the token of another account, though the node has a certificate", async () => {
      const others = { "kubernetes.io": { ...account, serviceaccount: { ...account.serviceaccount, name: "other" } } };
      const request = requestOf(`${tenantHost}/team/app`, { serviceAccountToken: accountToken(others) });
      const done = await node.helper("kubelet", request, { FACTORY_SECRETS_URL: factory.service.url });
      expect(done).toMatchObject({
        exitCode: 1,
        stdout: "",
        stderr: expect.stringMatching(/^factory-secrets: .*\(401\)/),
      });
    });

    test("says on standard error why a registry that gives a bearer cannot be pulled from", async () => {
      const done = await node.helper("kubelet", requestOf(`${bearerHost}/team/app`));
      expect(done).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringMatching(/gives a bearer/) });
    });

    test.each([
      ["registry.example.com/a/b:1", "registry.example.com", "a/b"],
      [`registry.example.com:5000/a@sha256:${"0".repeat(64)}`, "registry.example.com:5000", "a"],
      [`registry.example.com:5000/a/b:v1@sha256:${"0".repeat(64)}`, "registry.example.com:5000", "a/b"],
      ["localhost/a", "localhost", "a"],
      ["nginx", "docker.io", "library/nginx"],
      ["nginx:1", "docker.io", "library/nginx"],
      ["acme/app:1", "docker.io", "acme/app"],
      ["docker.io/library/nginx", "docker.io", "library/nginx"],
    ])("reads the image %s", async (image, registry, path) => {
      const { stdout, bodies } = await askStub(requestOf(image));
      expect(bodies).toEqual([{ format: "login", registry, minTtlSeconds: 300 }]);
      expect(Object.keys(CredentialProviderResponse.parse(JSON.parse(stdout)).auth)).toEqual([`${registry}/${path}`]);
    });

    const ecrHosts = awsPartitions.flatMap(({ regions: [region] }) =>
      [false, true].map((isDualStack) => {
        const name = isDualStack ? "dkr-ecr" : "dkr.ecr";
        return `123456789012.${name}.${region}.${ecrSuffix(region, isDualStack)}`;
      }),
    );
    test.each([
      ...ecrHosts,
      "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
      "public.ecr.aws",
      "ecr-public.aws.com",
    ])("asks for no more than the image where Amazon can narrow a password: %s", async (registry) => {
      expect(ecrHost(registry)).toBeDefined();
      const { bodies } = await askStub(requestOf(`${registry}/team/app:1`));
      const scope = { repositories: ["team/app"], allowBroader: true };
      expect(bodies).toEqual([{ format: "login", registry, ...scope, minTtlSeconds: 300 }]);
    });

    test.each<[string, Record<string, string>]>([
      ["called image", { image: "evil.example.com/x" }],
      ["called serviceAccountToken", { serviceAccountToken: "evil" }],
      ["with quotes", { "a/b": 'x","image":"evil.example.com/x","serviceAccountToken":"evil' }],
      [
        "with the name of their own member",
        { serviceAccountAnnotations: '"serviceAccountAnnotations":{"image":"evil"' },
      ],
    ])("is not led astray by an annotation %s", async (_, serviceAccountAnnotations) => {
      const serviceAccountToken = "not.a-real.token";
      const request = requestOf("good.example.com/x", { serviceAccountToken, serviceAccountAnnotations });
      const { bodies, headers } = await askStub(request);
      expect(bodies).toMatchObject([{ registry: "good.example.com" }]);
      expect(headers).toMatchObject({ authorization: `Bearer ${serviceAccountToken}` });
    });

    test("takes nothing from annotations that come first", async () => {
      const serviceAccountAnnotations = { image: "evil.example.com/x" };
      const rest = JSON.parse(requestOf("good.example.com/x"));
      const done = await askStub(JSON.stringify({ serviceAccountAnnotations, ...rest }));
      expect(done).toMatchObject({ exitCode: 1, stdout: "", bodies: [] });
    });

    test("reads JSON that is written over several lines", async () => {
      const { bodies } = await askStub(JSON.stringify(JSON.parse(requestOf("good.example.com/x")), undefined, "  "));
      expect(bodies).toMatchObject([{ registry: "good.example.com" }]);
    });

    test.each([
      [
        "of another version",
        requestOf("a.b/c").replace("k8s.io/v1", "k8s.io/v1beta1"),
        /This speaks .*\/v1\. Set apiVersion/,
      ],
      ["of another kind", requestOf("a.b/c").replace("ProviderRequest", "ProviderResponse"), /This speaks/],
      ["that is empty", "", /This speaks/],
      ["without an image", requestOf(""), /named no image/],
      ["whose image is none", requestOf('a.b/c"$(id)'), /named no image/],
    ])("refuses a request %s", async (_, request, sentence) => {
      const done = await askStub(request);
      expect(done).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringMatching(sentence), bodies: [] });
    });
  });
}
