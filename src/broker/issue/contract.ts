import { z } from "zod";
import { RegistryName, RepositoryName } from "../../core/grant.js";
import { RegistryTypeName } from "../../factory-config/contract.js";
import { RegistryFailure, Timestamp } from "../../http/contract.js";

const Repositories = z
  .array(RepositoryName)
  .min(1)
  .max(100)
  .meta({ description: "A demand: the token must reach no others." });

export const RegistryTokenFormat = z
  .enum(["tokens", "docker-config", "kubernetes-secret", "login", "ci-scripts", "aws-config", "aws-credentials-file"])
  .default("tokens")
  .meta({ id: "RegistryTokenFormat" });

export const OneRegistryRequest = z
  .strictObject({ registry: RegistryName, repositories: Repositories.optional() })
  .meta({ id: "OneRegistryRequest" });

export const RegistryTokenRequest = z
  .strictObject({
    registry: RegistryName.optional(),
    repositories: Repositories.optional(),
    requests: z
      .array(OneRegistryRequest)
      .min(1)
      .max(50)
      .optional()
      .meta({ description: "Several registries at once." }),
    allowBroader: z.boolean().default(false).meta({
      description: "Take a token that reaches more than `repositories` where the cloud cannot hold to them.",
    }),
    allowPartial: z.boolean().default(false).meta({
      description: "Answer for the registries that can be, and list the `failures` beside them.",
    }),
    minTtlSeconds: z.int().min(1).max(86_400).optional().meta({
      description: "The least life that a token must have left. Default: the lesser of 300 and half its life.",
    }),
    format: RegistryTokenFormat,
  })
  .refine(({ requests, registry, repositories }) => !requests || (!registry && !repositories), {
    message: "give either requests, or registry and repositories",
    path: ["requests"],
  })
  .refine(({ registry, repositories }) => !repositories || registry, {
    message: "needs registry: say whose repositories these are",
    path: ["repositories"],
  })
  .meta({ id: "RegistryTokenRequest" });

export const RegistryToken = z
  .object({
    registry: z.string(),
    type: RegistryTypeName,
    kind: z.enum(["password", "bearer"]).meta({
      id: "RegistryTokenKind",
      description: "`password` is for docker login; `bearer` goes to the registry as it is, and is no password.",
    }),
    username: z.string().optional(),
    password: z.string().optional(),
    bearer: z.string().optional(),
    expiresAt: Timestamp,
    refreshAfter: Timestamp.meta({ description: "Ask again after this; before, the same token would come." }),
    repositories: z.array(z.string()).optional().meta({
      description: "What the token is limited to. Absent: all that the principal can reach.",
    }),
    scopeEnforcedBy: z.enum(["iam-session-policy", "registry", "none"]).meta({ id: "ScopeEnforcer" }),
    scopeVerified: z.boolean().optional().meta({
      description:
        "With `scopeEnforcedBy: registry`: `true` when the token says that it was granted exactly the pull that was asked for; `false` when it says nothing, and the registry is believed.",
    }),
    revocable: z.literal(false),
    raw: z.literal(true).optional().meta({ description: "The stored credential itself (`passThrough`)." }),
  })
  .meta({ id: "RegistryToken" });

const DockerAuth = z
  .object({
    auth: z.string().optional().meta({ description: "base64 of user:password" }),
    registrytoken: z
      .string()
      .optional()
      .meta({ description: "A bearer: docker, BuildKit, buildx, crane, oras and helm read it." }),
  })
  .meta({ id: "DockerAuth" });

/** What AWS programs ask a container's credentials endpoint for, in AWS's own names. */
export const AwsCredentials = z
  .object({
    AccessKeyId: z.string(),
    SecretAccessKey: z.string(),
    Token: z.string(),
    Expiration: Timestamp,
  })
  .meta({ id: "AwsCredentials", description: "Temporary, and narrowed by a session policy to pulling." });

export const AwsKeyPair = z
  .object({
    entry: z.string().meta({ description: "Id of the registry entry that they are for." }),
    accessKeyId: z.string().meta({ description: "Begins with FSJK. Good at this service only." }),
    secretAccessKey: z.string(),
    region: z.string(),
    endpointUrl: z.string().meta({ description: "For `AWS_ENDPOINT_URL_ECR`." }),
    expiresAt: Timestamp.optional().meta({ description: "With its job." }),
  })
  .meta({ id: "AwsKeyPair", description: "AWS-shaped keys of one job for one registry entry." });

const EnvironmentVariable = z.object({ name: z.string(), value: z.string() }).meta({ id: "EnvironmentVariable" });

export const JobFile = z
  .object({ name: z.string(), contentBase64: z.string() })
  .meta({ id: "JobFile", description: "A file of a job's `/secrets`." });

/** One flat object, because generators cannot read `oneOf`; which members are there depends on `format`. */
export const RegistryTokenReply = z
  .object({
    tokens: z.array(RegistryToken).optional().meta({ description: "format `tokens`" }),
    failures: z.array(RegistryFailure).optional().meta({
      description: "formats `tokens` and `ci-scripts`, with `allowPartial`",
    }),
    files: z.array(JobFile).optional().meta({
      description: "format `ci-scripts`: what foundriesio/ci-scripts finds in `/secrets`",
    }),
    auths: z.record(z.string(), DockerAuth).optional().meta({
      description: "format `docker-config`: the body is a complete config.json",
    }),
    apiVersion: z.literal("v1").optional().meta({ description: "format `kubernetes-secret`: the body is a manifest" }),
    kind: z.literal("Secret").optional(),
    metadata: z.object({ name: z.string() }).meta({ id: "ManifestMetadata" }).optional(),
    type: z.literal("kubernetes.io/dockerconfigjson").optional(),
    stringData: z.object({ ".dockerconfigjson": z.string() }).meta({ id: "ManifestStringData" }).optional(),
    username: z.string().optional().meta({ description: "format `login`" }),
    password: z.string().optional().meta({ description: "format `login`" }),
    environment: z.array(EnvironmentVariable).optional().meta({
      description: "format `aws-config`, when one entry is meant: for AWS programs, instead of the two files",
    }),
    configFile: z.string().optional().meta({ description: "format `aws-config`: the text of ~/.aws/config" }),
    credentialsFile: z.string().optional().meta({
      description: "formats `aws-config` and `aws-credentials-file`: the text of ~/.aws/credentials",
    }),
  })
  .meta({ id: "RegistryTokenReply" });
