import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { createProviders, mintToken } from "../../../src/broker/providers/create-providers.js";
import { awsPartitions } from "../../../src/core/aws-partitions.js";
import { ecrHost } from "../../../src/core/cloud-hosts.js";
import { Problem } from "../../../src/core/problem.js";
import { Plaintext } from "../../../src/crypto/plaintext.js";
import type { RegistryEntry } from "../../../src/factory-config/entry.js";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { remarkOnSettings } from "../../../src/factory-config/remarks.js";
import { createOutbound, outboundDefaults } from "../../../src/outbound/outbound.js";

// Names are resolved to nothing: what is asked here is whether the service would dial at all.
const dialled: string[] = [];
const guard = createOutbound(outboundDefaults, {
  resolve: async () => Promise.reject(Object.assign(new Error("no such name"), { code: "ENOTFOUND" })),
});
afterAll(() => guard.close());
const providers = createProviders({
  outbound: {
    request: (request) => {
      dialled.push(new URL(request.url).host);
      return guard.request(request);
    },
  },
  now: () => new Date(),
  settings: { allowedRealms: [], passThroughHosts: [] },
});

const key = { id: "AKIAIOSFODNN7EXAMPLE", secret: "not-a-real-secret-1-not-a-real-secret-1" };
const values = {
  aws: `[default]\naws_access_key_id = ${key.id}\naws_secret_access_key = ${key.secret}\n`,
  azure: "11111111-2222-3333-4444-555555555555:not-a-real-secret",
  generic: "user:not-a-real-secret",
} as const;

const callSettings = { passThroughHosts: [], outbound: outboundDefaults };

/** Saves one entry, and gives it when it was taken without a word. */
function saved(lines: Readonly<Record<string, string>>): RegistryEntry | undefined {
  const text = Object.entries(lines).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  const result = parseDocument(`container_registries:\n- ${text.join("\n  ")}\n`);
  if (!result.ok || result.warnings.length > 0) return undefined;
  const { entries } = result.config;
  return remarkOnSettings(entries, callSettings).length === 0 ? entries[0]?.entry : undefined;
}

/** Mints for the entry. What is dialled does not exist, so it always fails: with which problem is the answer. */
async function problemOf(entry: RegistryEntry, repositories: readonly string[] | undefined): Promise<string> {
  const type = entry.type === "gar" ? "generic" : entry.type;
  const request = {
    host: entry.type === "gar" ? entry.hosts[0] : entry.host,
    factoryId: "0198c0de-0000-7000-8000-000000000001",
    secret: { name: "creds", version: 1, value: Plaintext.fromText(values[type]) },
    assert: async () => "assertion",
    repositories,
    allowBroader: false,
    signal: new AbortController().signal,
  };
  try {
    await mintToken(providers, { ...request, entry });
    return "minted";
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}

/** A token is asked for in each way that the type has; each must lead to a call. */
async function expectSendable(entry: RegistryEntry): Promise<void> {
  for (const repositories of waysOf(entry)) {
    dialled.length = 0;
    const code = await problemOf(entry, repositories);
    // The service stops calling a host that fails again and again.
    expect(["upstream-unreachable", "upstream-circuit-open"]).toContain(code);
    expect(dialled).not.toEqual([]);
  }
}

function waysOf(entry: RegistryEntry): (readonly string[] | undefined)[] {
  if (entry.type === "gar") return [undefined];
  if (entry.type !== "aws") return [["team/app"]];
  const isPublic = entry.host !== undefined && ecrHost(entry.host)?.public === true;
  return isPublic ? [undefined] : [undefined, ["team/app"]];
}

const provider = "projects/1/locations/global/workloadIdentityPools/factories/providers/factory";
const keysOfType = {
  aws: { type: "aws", aws_creds_secret_name: "creds" },
  azure: { type: "azure", azure_principal_secret_name: "creds" },
  gar: { type: "gar", gar_workload_identity_provider: provider },
  generic: { type: "generic", generic_secret_name: "creds" },
} as const;

const regions = awsPartitions.flatMap(({ regions }) => [...regions]);
const suffixes = awsPartitions.flatMap(({ dnsSuffix, dualStackDnsSuffix }) => [
  dnsSuffix,
  dualStackDnsSuffix.replace("api.", "on."),
]);
const region = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...regions) },
  fc.stringMatching(/^(us|eu|nz)-[a-z]{4,6}-\d{1,2}$/),
);
const account = fc.stringMatching(/^\d{12}$/);
const label = fc.stringMatching(/^[a-z0-9]{1,12}$/);
const service = fc.constantFrom(".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips.");
const ecr = fc.oneof(
  fc.constantFrom("public.ecr.aws", "ecr-public.aws.com"),
  fc
    .tuple(account, service, region, fc.constantFrom(...suffixes))
    .map(([id, dkr, of, suffix]) => `${id}${dkr}${of}.${suffix}`),
);
const acr = fc
  .tuple(
    label,
    fc.constantFrom("", ".eastus.geo", ".chinaeast2.geo", ".eastus.data", ".privatelink"),
    fc.constantFrom("io", "cn", "us", "de"),
  )
  .map(([name, middle, top]) => `${name}${middle}.azurecr.${top}`);
const gar = fc.oneof(
  fc.constantFrom("gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io", "k8s.gcr.io"),
  fc
    .tuple(
      fc.constantFrom("us", "europe", "us-central1", "me-central2", "us-east-1"),
      fc.constantFrom("docker", "python"),
    )
    .map(([where, kind]) => `${where}-${kind}.pkg.dev`),
  fc.constantFrom("docker.us-central1.rep.pkg.dev", "docker.pkg.dev"),
);
const anyName = fc.oneof(
  fc.domain(),
  label,
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV6().map((address) => `[${address}]`),
  fc.stringMatching(/^xn--[a-z0-9-]{1,12}\.example$/),
  fc.constantFrom("xn--mnchen-3ya.example", "münchen.example", "localhost", "registry.localhost", "docker.io"),
);
const spelled = (name: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(name, fc.constantFrom("", "", ".", ":443", ":5000", ":80", ":65535", ":0"), fc.boolean())
    .map(([host, end, isLoud]) => (isLoud ? host.toUpperCase() : host) + end);
const anyHost = fc.oneof(ecr, acr, gar, anyName);
const entriesOfType = {
  aws: fc.oneof(
    spelled(ecr).map((url) => ({ ...keysOfType.aws, url })),
    region.map((name) => ({ ...keysOfType.aws, region: name })),
    spelled(anyHost).map((url) => ({ ...keysOfType.aws, url, region: "us-east-1" })),
  ),
  azure: spelled(fc.oneof(acr, anyHost)).map((url) => ({ ...keysOfType.azure, url })),
  gar: spelled(fc.oneof(gar, anyHost)).map((url) => ({ ...keysOfType.gar, url })),
  generic: spelled(fc.oneof(anyName, anyHost)).map((url) => ({ ...keysOfType.generic, url })),
};

describe("a registry entry that was saved without an error or a warning", () => {
  it.each(["aws", "azure", "gar", "generic"] as const)("of type %s is never refused for its host", async (type) => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(entriesOfType[type], async (lines) => {
        const entry = saved(lines);
        if (entry === undefined) return;
        taken += 1;
        await expectSendable(entry);
      }),
      { numRuns: 300 },
    );
    expect(taken).toBeGreaterThan(20);
  });

  it.each([
    ["aws", "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "api.ecr.eusc-de-east-1.amazonaws.eu"],
    ["aws", "123456789012.dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu", "api.ecr.eusc-de-east-1.amazonaws.eu"],
    ["aws", "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "api.ecr.us-iso-east-1.c2s.ic.gov"],
    ["aws", "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "api.ecr.us-isob-east-1.sc2s.sgov.gov"],
    ["aws", "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "api.ecr.us-isof-south-1.csp.hci.ic.gov"],
    ["aws", "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "api.ecr.eu-isoe-west-1.cloud.adc-e.uk"],
    ["aws", "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "api.ecr-fips.us-gov-west-1.amazonaws.com"],
    ["aws", "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "api.ecr.cn-north-1.amazonaws.com.cn"],
    ["aws", "public.ecr.aws", "api.ecr-public.us-east-1.amazonaws.com"],
    ["aws", "ecr-public.aws.com", "api.ecr-public.us-east-1.amazonaws.com"],
    ["azure", "example.azurecr.cn", "example.azurecr.cn"],
    ["azure", "example.eastus.geo.azurecr.io", "example.eastus.geo.azurecr.io"],
    ["azure", "example.usgovvirginia.geo.azurecr.us", "example.usgovvirginia.geo.azurecr.us"],
    ["generic", "xn--mnchen-3ya.example:5000", "xn--mnchen-3ya.example:5000"],
    ["generic", "docker.io", "registry-1.docker.io"],
  ] as const)("of type %s for %s leads to %s", async (type, url, called) => {
    const entry = saved({ ...keysOfType[type], url });
    expect(entry).toBeDefined();
    if (entry === undefined) return;
    dialled.length = 0;
    await problemOf(entry, type === "aws" ? undefined : ["team/app"]);
    expect(dialled).toEqual([called]);
  });

  it.each(regions)("of type aws for region %s leads to hosts of that region", async (name) => {
    const entry = saved({ ...keysOfType.aws, region: name });
    expect(entry).toMatchObject({ region: name });
    if (entry !== undefined) await expectSendable(entry);
    for (const one of dialled) expect(one).toContain(`.${name}.`);
  });
});
