import type { RequestedBy } from "../../audit/record.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import { dockerHubHost } from "../../core/normalise-host.js";
import { Problem } from "../../core/problem.js";
import { PreparedJson } from "../../http/route.js";
import type { MintedToken } from "../providers/provider.js";
import type { Asked, Demand } from "./decide-demands.js";
import type { Issued } from "./issue-token.js";

/** What tokens alone can be rendered as. */
export type Format = "tokens" | "docker-config" | "kubernetes-secret" | "login";

/** docker's own key for Docker Hub in a config.json (docker/cli, cli/config/configfile). */
const dockerHubKey = "https://index.docker.io/v1/";

/** The body of the reply. Nothing is handed out in a shape that its client cannot use. */
export function renderReply(issued: Issued<MintedToken>, format: Format): PreparedJson {
  switch (format) {
    case "tokens":
      return tokensReply(issued);
    case "docker-config":
      return new PreparedJson(JSON.stringify(dockerConfig(issued.tokens.map(({ token }) => token))));
    case "kubernetes-secret":
      return new PreparedJson(JSON.stringify(kubernetesSecret(issued.tokens.map(({ token }) => token))));
    case "login":
      return new PreparedJson(JSON.stringify(login(issued.tokens.map(({ token }) => token))));
    default:
      return format satisfies never;
  }
}

// Each token was parsed by its schema and serialised when it was minted.
function tokensReply({ tokens, failures }: Issued<MintedToken>): PreparedJson {
  const list = `"tokens":[${tokens.map(({ json }) => json).join(",")}]`;
  return new PreparedJson(failures.length > 0 ? `{${list},"failures":${JSON.stringify(failures)}}` : `{${list}}`);
}

type DockerAuth = { auth: string } | { registrytoken: string };

function dockerConfig(tokens: readonly MintedToken[]): { auths: Record<string, DockerAuth> } {
  return {
    auths: Object.fromEntries(
      tokens.map((token) => [token.registry === dockerHubHost ? dockerHubKey : token.registry, dockerAuth(token)]),
    ),
  };
}

function dockerAuth(token: MintedToken): DockerAuth {
  if (token.kind === "bearer") return { registrytoken: token.bearer };
  return { auth: Buffer.from(`${token.username}:${token.password}`, "utf8").toString("base64") };
}

function kubernetesSecret(tokens: readonly MintedToken[]): Record<string, unknown> {
  refuseBearers(tokens, "kubernetes-secret");
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "factory-secrets-registries" },
    type: "kubernetes.io/dockerconfigjson",
    stringData: { ".dockerconfigjson": JSON.stringify(dockerConfig(tokens)) },
  };
}

function login(tokens: readonly MintedToken[]): { username: string; password: string } {
  refuseBearers(tokens, "login");
  const [token, ...more] = tokens;
  if (token?.kind !== "password" || more.length > 0) {
    throw new Problem("registry-required", 'The format "login" is for one registry. Name it: "registry": "<host>".');
  }
  return { username: token.username, password: token.password };
}

/** They were refused before they were minted; nothing that slipped through may go out in the wrong place. */
function refuseBearers(tokens: readonly MintedToken[], format: BearerlessFormat): void {
  const bearer = tokens.find(({ kind }) => kind === "bearer");
  if (bearer) throw bearerRefused(format, bearer.registry);
}

/** The formats that have no place for a bearer: who would read it there, and who can elsewhere. */
const bearerless = {
  login: {
    client: "docker login",
    way: 'docker, BuildKit, buildx and crane read it from a config.json: ask with "format": "docker-config".',
  },
  "kubernetes-secret": {
    client: "the kubelet",
    way: 'skopeo (--registry-token), docker, buildx and crane can: ask with "format": "docker-config".',
  },
  "ci-scripts": {
    client: "ci-scripts",
    way: "Give the azure entry its azure_tenant_id, or ask the operator for pass-through.",
  },
} as const;

export type BearerlessFormat = keyof typeof bearerless;

export function bearerRefused(format: BearerlessFormat, registry: string): Problem {
  const { client, way } = bearerless[format];
  const what = `${registry} gives a bearer, which is no password and which ${client} cannot carry.`;
  return new Problem("not-representable", `${what} ${way}`);
}

/** Why a format cannot carry what a demand would be given, told before anything is opened. `undefined` when it can. */
export function unfitFor(format: string): ((demand: Demand) => Problem | undefined) | undefined {
  if (!isBearerless(format)) return undefined;
  return (demand) => (givesBearer(demand) ? bearerRefused(format, demand.host ?? demand.entry.id) : undefined);
}

const isBearerless = (format: string): format is BearerlessFormat => Object.hasOwn(bearerless, format);

/** Without repositories a registry that would give a bearer gives nothing, and says so itself. */
function givesBearer({ entry, repositories }: Demand): boolean {
  switch (entry.type) {
    case "aws":
    case "gar":
      return false;
    case "azure":
      // With a tenant and without: only a token for everything is a password.
      return repositories !== undefined;
    case "generic":
      return repositories !== undefined && !entry.passThrough;
    default:
      return entry satisfies never;
  }
}

/** What is asked for in a format that AWS programs read. Without `asked`: every entry of type aws. */
export type AwsFilesInput = {
  factory: FactoryRef;
  caller: Caller;
  asked: readonly Asked[] | undefined;
  /** `aws-credentials-file`: for programs that read nothing else, with an `endpoint_url` for all of AWS in it. */
  format: "aws-config" | "aws-credentials-file";
  requested: RequestedBy;
};

/** The members of the reply that the format has. */
export type AwsFiles = {
  environment?: { name: string; value: string }[];
  configFile?: string;
  credentialsFile: string;
};
