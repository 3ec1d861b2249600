import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { RegistryTokenRequest } from "../../../src/broker/issue/contract.js";
import { TrustRuleRequest } from "../../../src/identity/trust-rules/contract.js";
import { lintRule } from "../../../src/identity/trust-rules/lint-rule.js";
import { routes } from "../../../src/service/routes.js";
import { readSettings, settingNames } from "../../../src/settings/settings.js";
import * as shapes from "../../support/clients/published-shapes.js";
import { readCronJob, readExample, readManifests } from "../../support/clients/read-manifests.js";

const audience = "https://secrets.example.com";
const secretName = "factory-secrets-registries";

const manifests: Record<string, z.ZodType[]> = {
  "factory-secrets.yaml": [shapes.Deployment, shapes.Service],
  "credential-provider-config.yaml": [shapes.CredentialProviderConfig],
  "audience-for-kubelets.yaml": [shapes.ClusterRole, shapes.ClusterRoleBinding],
  "pull-secret-cronjob.yaml": [shapes.ServiceAccount, shapes.Role, shapes.RoleBinding, shapes.CronJob],
  "external-secrets.yaml": [shapes.SecretStore, shapes.ExternalSecret],
};

test("every manifest is looked at", () => {
  const names = readdirSync(new URL("../../../examples/kubernetes/", import.meta.url));
  expect(names.filter((name) => name.endsWith(".yaml")).sort()).toEqual(Object.keys(manifests).sort());
});

test.each(Object.entries(manifests))("examples/kubernetes/%s has the published shape", (name, expected) => {
  const documents = readManifests(name);
  expect(documents).toHaveLength(expected.length);
  expected.forEach((shape, index) => {
    expect(shape.safeParse(documents[index]).error).toBeUndefined();
  });
});

describe("the Deployment of the service", () => {
  const { template, selector } = shapes.Deployment.parse(readManifests("factory-secrets.yaml")[0]).spec;
  const [container] = template.spec.containers;

  test("is asked whether it lives and is ready at routes that there are, and gives only settings that there are", () => {
    const paths = [container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet.path);
    expect(paths).toEqual(["/healthz", "/readyz"]);
    for (const path of paths) expect(routes.map((route) => route.path)).toContain(path);
    const names = container.env.map(({ name }) => name.replace(/_FILE$/, ""));
    for (const name of names) expect(settingNames).toHaveProperty(name);
  });

  test("has longer to stop than the drain and what is in flight take", () => {
    const { drainSeconds } = readSettings({});
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(drainSeconds + 10 + 5);
  });

  test("is what the Service leads to", () => {
    const service = shapes.Service.parse(readManifests("factory-secrets.yaml")[1]);
    expect([service.spec.selector, selector.matchLabels]).toEqual([template.metadata.labels, template.metadata.labels]);
    expect(container.ports.map(({ name }) => name)).toContain(service.spec.ports[0]?.targetPort);
  });
});

describe("the kubelet's configuration", () => {
  const [config] = readManifests("credential-provider-config.yaml").map((one) =>
    shapes.CredentialProviderConfig.parse(one),
  );
  const [provider] = config?.providers ?? [];

  test("runs the helper by its name, in its mode for kubelets, in the version that it speaks", () => {
    const { name, args, apiVersion } = provider ?? {};
    expect(readdirSync(new URL("../../../clients/", import.meta.url))).toContain(name);
    expect({ args, apiVersion }).toEqual({ args: ["kubelet"], apiVersion: "credentialprovider.kubelet.k8s.io/v1" });
  });

  test("asks for tokens of the audience that kubelets are let have", () => {
    expect(provider?.tokenAttributes?.serviceAccountTokenAudience).toBe(audience);
    const role = shapes.ClusterRole.parse(readManifests("audience-for-kubelets.yaml")[0]);
    expect(role.rules.flatMap(({ resources }) => resources)).toEqual([audience]);
  });
});

describe("the CronJob", () => {
  const { spec, pod, container } = readCronJob();

  test("may change the one secret, and nothing else", () => {
    const role = shapes.Role.parse(readManifests("pull-secret-cronjob.yaml")[1]);
    const rule = { apiGroups: [""], resources: ["secrets"], resourceNames: [secretName], verbs: ["patch"] };
    expect(role.rules).toEqual([rule]);
  });

  test("runs as nobody, on a read-only file system, without a capability", () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    const writable = container.volumeMounts.filter(({ readOnly }) => readOnly !== true).map(({ name }) => name);
    expect(pod.volumes.filter(({ name }) => writable.includes(name))).toEqual([
      { name: "work", emptyDir: { medium: "Memory", sizeLimit: "4Mi" } },
    ]);
  });

  test("is one at a time, ends before the next, and comes twice in the life of what it asks for", () => {
    const [, minutes] = /^\*\/(\d+) \* \* \* \*$/.exec(spec.schedule) ?? [];
    const [, seconds] = /"minTtlSeconds":(\d+)/.exec(container.args.join()) ?? [];
    expect(spec.concurrencyPolicy).toBe("Forbid");
    expect(spec.jobTemplate.spec.activeDeadlineSeconds).toBeLessThan(Number(minutes) * 60);
    expect(Number(minutes) * 60 * 2).toBeLessThanOrEqual(Number(seconds));
  });

  test("has the identity of the rule's audience, mounted where its script looks", () => {
    const mounts = Object.fromEntries(container.volumeMounts.map(({ name, mountPath }) => [name, mountPath]));
    const environment = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
    const [projection] = pod.volumes.flatMap(({ projected }) => projected?.sources ?? []);
    expect(projection?.serviceAccountToken.audience).toBe(audience);
    expect(environment).toMatchObject({
      IDENTITY_FILE: `${mounts.identity}/token`,
      CA_FILE: `${mounts.ca}/ca.pem`,
      WORK_DIR: mounts.work,
    });
    // Kubernetes puts the variable NAME in the place of $(NAME), and $ in that of $$.
    expect(container.args.join()).not.toMatch(/\$\$|\$\(\w+\)/);
  });
});

test("External Secrets asks for what the service knows, and more often than that ends", () => {
  const [store, secret] = readManifests("external-secrets.yaml");
  const { webhook } = shapes.SecretStore.parse(store).spec.provider;
  const request = RegistryTokenRequest.parse(JSON.parse(webhook.body));
  const { spec } = shapes.ExternalSecret.parse(secret);
  expect(request).toMatchObject({ format: "kubernetes-secret", minTtlSeconds: 2_400 });
  expect(spec).toMatchObject({ refreshInterval: "20m", target: { name: secretName } });
});

test("the trust rule is one without a remark", () => {
  const rule = TrustRuleRequest.parse(JSON.parse(readExample("pull-secret-rule.json")));
  expect(lintRule(rule)).toEqual([]);
  expect(rule.audience).toBe(audience);
});
