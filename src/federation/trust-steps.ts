import { createHash } from "node:crypto";
import { awsPartitionOf } from "../core/aws-partitions.js";
import { ecrHost } from "../core/cloud-hosts.js";
import { type AwsEntry, type AzureEntry, type GarEntry, principalOf } from "../factory-config/entry.js";
import type { FederationEntry, TrustStep } from "./routes.js";
import { awsAudience, azureAudience, garAudience, subjectOf } from "./sign-assertion.js";

/** An entry that a cloud can trust. */
export type CloudEntry = AwsEntry | AzureEntry | GarEntry;

type Trusted = { issuer: string; subject: string; audience: string };

/** What one entry's cloud has to be told. What the entry does not say yet is in capitals. */
export function describeTrust(issuer: string, factoryId: string, entry: CloudEntry): FederationEntry {
  const { id, type } = entry;
  const principal = principalOf(entry);
  const trusted = { issuer, subject: subjectOf(factoryId, id), audience: audienceOf(entry) };
  return {
    id,
    type,
    keyless: entry.secretName === undefined,
    ...(principal !== undefined && { principal }),
    subject: trusted.subject,
    audience: trusted.audience,
    trust: stepsOf(entry, trusted),
  };
}

function audienceOf(entry: CloudEntry): string {
  switch (entry.type) {
    case "aws":
      return awsAudience;
    case "azure":
      return azureAudience(entry.host);
    case "gar":
      return garAudience(providerOf(entry));
    default:
      return entry satisfies never;
  }
}

function stepsOf(entry: CloudEntry, trusted: Trusted): TrustStep[] {
  switch (entry.type) {
    case "aws":
      return awsSteps(entry, trusted);
    case "azure":
      return azureSteps(entry, trusted);
    case "gar":
      return garSteps(entry, trusted);
    default:
      return entry satisfies never;
  }
}

function awsSteps(entry: AwsEntry, { issuer, subject, audience }: Trusted): TrustStep[] {
  const registry = entry.host === undefined ? undefined : ecrHost(entry.host);
  const ownAccount = registry?.public === false ? registry.account : "ACCOUNT_ID";
  const [, partition = awsPartitionOf(entry.region).id, account = ownAccount, role = "ROLE_NAME"] =
    /^arn:([^:]+):iam::([0-9]{12}):role\/(?:.*\/)?([^/]+)$/.exec(entry.roleArn ?? "") ?? [];
  // IAM calls a provider by its URL without the scheme, in ARNs and in the names of condition keys.
  const provider = issuer.replace(/^https:\/\//, "");
  const policy = {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { Federated: `arn:${partition}:iam::${account}:oidc-provider/${provider}` },
        Action: "sts:AssumeRoleWithWebIdentity",
        Condition: { StringEquals: { [`${provider}:aud`]: audience, [`${provider}:sub`]: subject } },
      },
    ],
  };
  return [
    {
      title: `Once for this factory, in account ${account}: make its issuer known to IAM`,
      format: "sh",
      text: command("aws iam create-open-id-connect-provider", { url: issuer, "client-id-list": audience }),
    },
    {
      title: `The trust policy of the role ${role}, as trust-policy.json`,
      format: "json",
      text: JSON.stringify(policy, null, 2),
    },
    {
      title: `Give the role ${role} that trust policy`,
      format: "sh",
      text: command("aws iam update-assume-role-policy", {
        "role-name": role,
        "policy-document": "file://trust-policy.json",
      }),
    },
  ];
}

function azureSteps(entry: AzureEntry, { issuer, subject, audience }: Trusted): TrustStep[] {
  const credential = { name: credentialName(subject), issuer, subject, audiences: [audience] };
  return [
    {
      title: "Let the application trust this entry",
      format: "sh",
      text: command("az ad app federated-credential create", {
        id: entry.clientId ?? "CLIENT_ID",
        parameters: JSON.stringify(credential),
      }),
    },
    {
      title: "Let it pull from the registry",
      format: "sh",
      text: command("az role assignment create", {
        assignee: entry.clientId ?? "CLIENT_ID",
        role: "AcrPull",
        scope: "REGISTRY_RESOURCE_ID",
      }),
    },
  ];
}

function garSteps(entry: GarEntry, { issuer, subject }: Trusted): TrustStep[] {
  const provider = providerOf(entry);
  const [, project = "", , , , pool = "", , name = ""] = provider.split("/");
  const member = `principal://iam.googleapis.com/${provider.replace(/\/providers\/.*$/, "")}/subject/${subject}`;
  const account =
    entry.serviceAccount ?? (entry.workloadIdentityProvider === undefined ? "SERVICE_ACCOUNT" : undefined);
  const bind =
    account === undefined
      ? ["gcloud artifacts repositories add-iam-policy-binding REPOSITORY", "roles/artifactregistry.reader"]
      : [`gcloud iam service-accounts add-iam-policy-binding ${quoted(account)}`, "roles/iam.workloadIdentityUser"];
  return [
    {
      title: "Once for this factory: make its issuer known to the pool",
      format: "sh",
      text: command(`gcloud iam workload-identity-pools providers create-oidc ${quoted(name)}`, {
        project,
        location: "global",
        "workload-identity-pool": pool,
        "issuer-uri": issuer,
        "attribute-mapping": "google.subject=assertion.sub",
      }),
    },
    {
      title: account === undefined ? "Let this entry read the repository" : "Let this entry act as the service account",
      format: "sh",
      text: command(bind[0] ?? "", {
        ...(account === undefined && { location: "LOCATION" }),
        role: bind[1] ?? "",
        member,
      }),
    },
  ];
}

function providerOf({ workloadIdentityProvider }: GarEntry): string {
  return (
    workloadIdentityProvider ?? "projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
  );
}

/** Entra takes 3 to 120 characters that are fit for a URL, unique in the application. */
function credentialName(subject: string): string {
  return `factory-secrets-${createHash("sha256").update(subject).digest("hex").slice(0, 16)}`;
}

function command(program: string, options: Readonly<Record<string, string>>): string {
  const given = Object.entries(options).map(([name, value]) => `  --${name} ${quoted(value)}`);
  return [program, ...given].join(" \\\n");
}

/** As one word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
