import { describe, expect, it } from "vitest";
import { RegistryEntryInput } from "../../../src/factory-config/contract.js";
import { entryFromInput, viewOfEntry } from "../../../src/factory-config/convert-entry.js";
import { destinationsOf } from "../../../src/factory-config/destinations.js";
import { addEntry, replaceEntry } from "../../../src/factory-config/edit-entries.js";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { problemsOf } from "../../support/factory-config/problems-of.js";

const role = "arn:aws:iam::123456789012:role/pull";
const client = "11111111-2222-4333-8444-555555555555";
const provider = "projects/417181920212/locations/global/workloadIdentityPools/factories/providers/acme";

const keyless = [
  { type: "aws", id: "aws:us-east-2", region: "us-east-2", roleArn: role },
  { type: "azure", id: "example.azurecr.io", host: "example.azurecr.io", tenantId: client, clientId: client },
  { type: "gar", id: "gar", hosts: [], workloadIdentityProvider: provider },
  {
    type: "gar",
    id: "gcr.io",
    hosts: ["gcr.io"],
    workloadIdentityProvider: provider,
    serviceAccount: "pull@acme.iam.gserviceaccount.com",
  },
] as const;

const written = `- type: aws
  region: us-east-2
  aws_role_arn: ${role}
- type: azure
  url: example.azurecr.io
  azure_client_id: ${client.toUpperCase()}
  azure_tenant_id: ${client}
- type: gar
  gar_workload_identity_provider: //iam.googleapis.com/${provider}
- type: gar
  url: gcr.io
  gar_workload_identity_provider: ${provider}
  gar_service_account: pull@acme.iam.gserviceaccount.com
`;

const entriesOf = (text: string) => {
  const parsed = parseDocument(text);
  return parsed.ok ? parsed.config.entries.map(({ entry }) => entry) : parsed.invalid;
};

describe("an entry that names a principal instead of a secret", () => {
  it("is read, without a warning, and has no place to send a secret to", () => {
    const parsed = parseDocument(written);
    expect(parsed).toMatchObject({ ok: true, warnings: [] });
    expect(entriesOf(written)).toEqual(keyless);
    for (const entry of keyless) expect(destinationsOf(entry)).toEqual([]);
  });

  it.each(keyless)("is shown as an input that makes the same: %j", (entry) => {
    const { id: _id, ...input } = viewOfEntry(entry);
    expect(input).not.toHaveProperty("secretName");
    expect(entryFromInput(RegistryEntryInput.parse(input))).toEqual({ ok: true, entry });
  });

  it("is written into a document, and takes the place of one with a secret and back", () => {
    const [aws, azure, gar] = keyless;
    expect(entriesOf(addEntry(addEntry(addEntry("", aws), azure), gar))).toEqual([aws, azure, gar]);
    const withSecret = "# ours\n- type: aws # first\n  region: us-east-2\n  aws_creds_secret_name: creds\n  team: a\n";
    const replaced = replaceEntry(withSecret, "aws:us-east-2", aws);
    expect(replaced).toBe(
      `# ours\n- type: aws # first\n  region: us-east-2\n  team: a\n`.replace(
        "  team",
        `  aws_role_arn: ${role}\n  team`,
      ),
    );
    const back = { type: "aws", id: "aws:us-east-2", region: "us-east-2", secretName: "creds" } as const;
    expect(entriesOf(replaceEntry(replaced, "aws:us-east-2", back))).toEqual([back]);
  });
});

const both = "The entry names a secret as well.";
const arn = "A role looks like arn:aws:iam::123456789012:role/pull.";
const resource = "A workload identity provider is projects/<number>/";

describe("an entry that is neither one nor the other", () => {
  it.each([
    ["aws", `region: us-east-2\n  aws_creds_secret_name: a\n  aws_role_arn: ${role}`, 4, both],
    ["azure", `azure_principal_secret_name: a\n  azure_client_id: ${client}\n  azure_tenant_id: ${client}`, 3, both],
    ["gar", `gar_creds_secret_name: a\n  gar_workload_identity_provider: ${provider}`, 3, both],
    ["aws", `region: us-east-2\n  aws_role_arn: ${role}\n  profile: p`, 4, "A profile is a section of a secret"],
    ["aws", "region: us-east-2\n  aws_role_arn: pull", 3, arn],
    ["aws", "region: us-east-2\n  aws_role_arn: arn:aws:iam::123456789012:user/pull", 3, arn],
    ["aws", `region: cn-north-1\n  aws_role_arn: ${role}`, 3, "The role is of another partition than the region"],
    ["azure", `azure_client_id: ${client}`, 1, "An entry with a client id needs the tenant"],
    ["azure", `azure_client_id: me\n  azure_tenant_id: ${client}`, 2, "A client id is a UUID"],
    ["gar", "gar_workload_identity_provider: projects/acme/pool", 2, resource],
    ["gar", "gar_service_account: pull@acme.iam.gserviceaccount.com", 1, resource],
    [
      "gar",
      `gar_workload_identity_provider: ${provider}\n  gar_service_account: pull`,
      3,
      "A service account looks like",
    ],
    ["generic", `url: ghcr.io\n  aws_role_arn: ${role}`, 1, "An entry of type generic needs generic_secret_name"],
    ["aws", "region: us-east-2", 1, "Or aws_role_arn, where none is needed: docs/keyless.md."],
  ])("%s, %j", (type, lines, line, reason) => {
    const problems = problemsOf(`- type: ${type}\n  ${lines}\n`);
    expect(problems).toEqual([[expect.stringContaining(`line ${line},`), expect.stringContaining(reason)]]);
  });

  it("is refused as the body of a route too", () => {
    const neither = { type: "aws", region: "us-east-2" } as const;
    const mixed = { ...neither, secretName: "a", awsRoleArn: role } as const;
    expect(entryFromInput(RegistryEntryInput.parse(neither))).toEqual({
      ok: false,
      invalid: [
        {
          at: "/secretName",
          reason:
            "An entry of type aws needs the name of the secret that opens the registry, or awsRoleArn where none is needed.",
        },
      ],
    });
    expect(entryFromInput(RegistryEntryInput.parse(mixed))).toMatchObject({ invalid: [{ at: "/awsRoleArn" }] });
    const generic = { type: "generic", url: "ghcr.io" } as const;
    expect(entryFromInput(RegistryEntryInput.parse(generic))).toMatchObject({ invalid: [{ at: "/secretName" }] });
  });

  it("cannot have a host that makes a subject too long for Google", () => {
    const url = `docker.${"a".repeat(30)}-${"b".repeat(31)}1.rep.pkg.dev`;
    const text = `- type: gar\n  url: ${url}\n  gar_workload_identity_provider: ${provider}\n`;
    expect(problemsOf(text)).toEqual([[expect.anything(), expect.stringContaining("longer than 76 characters")]]);
  });
});
