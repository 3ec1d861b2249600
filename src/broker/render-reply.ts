import { dockerHubHost } from "../core/normalise-host.js";
import { Problem } from "../core/problem.js";
import { PreparedJson } from "../http/route.js";
import { type BearerlessFormat, bearerRefused } from "./bearers.js";
import type { Issued } from "./issue-token.js";
import type { MintedToken } from "./provider.js";

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
