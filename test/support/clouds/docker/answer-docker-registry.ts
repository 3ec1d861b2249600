import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.js";
import { basicOf, bearerOf, type CloudReply, type CloudRequest, jsonReply, queryOf } from "../cloud-endpoint.js";
import { grantScopes, parseScopes, type ScopeAccess } from "../docker-scope.js";
import { parseRegistryPath, registryError, servedReply } from "../registry-v2.js";
import type { Claims, JwtSigner } from "../sign-jwt.js";

export type DockerUser = { password: string; rights: Readonly<Record<string, readonly ("pull" | "push")[]>> };

/** How a registry asks who is there: by the token protocol, by Basic alone, or by sending the client elsewhere. */
export type DockerAuth = "token" | "basic" | { redirectTo: string };

export type DockerRegistryOptions = {
  host: string;
  auth?: DockerAuth;
  /** The host of the realm; default the registry's own. */
  realmHost?: string;
  users: Readonly<Record<string, DockerUser>>;
  /** The field of the realm's reply; default both, as Docker Hub does. */
  tokenField?: "token" | "access_token" | "both";
  /** The realm's tokens live this long; `"unsaid"` leaves `expires_in` out, which means 60 s. Default 300. */
  expiresInSeconds?: number | "unsaid";
  /**
   * `jwt` shows what was granted in an `access` claim, `opaque` does not, and `echo` hands the password back in base64
   * (as ghcr.io does with a personal access token). Default `jwt`.
   */
  tokenShape?: "jwt" | "opaque" | "echo";
  /** Changes the claims of a `jwt` before it is signed: `access`, or an `exp` other than that of `expires_in`. */
  claims?: (claims: Claims) => Claims;
  /** Changes what the realm replies. */
  reply?: (members: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
  /** `/v2/` asks no one for a credential; the repositories do. */
  isRootOpen?: boolean;
  /** Sent in place of the registry's own `WWW-Authenticate` headers. */
  challenges?: readonly string[];
  /** The realm answers with a redirect to this URL. */
  realmRedirectTo?: string;
};

export type DockerDeps = {
  options: DockerRegistryOptions;
  clock: Clock;
  signer: JwtSigner;
  tokens: Map<string, { access: readonly ScopeAccess[]; expiresAt: Date }>;
};

export const realmPath = "/token";

/**
 * Answers `/v2/` of a registry that speaks the Docker token protocol, or Basic alone.
 * Source: distribution documentation, "Token Authentication Specification".
 */
export function answerDockerRegistry(deps: DockerDeps, request: CloudRequest): CloudReply {
  const auth = deps.options.auth ?? "token";
  if (request.path === realmPath && auth === "token" && realmHostOf(deps.options) === request.host) {
    return answerDockerRealm(deps, request);
  }
  if (typeof auth === "object") return { status: 307, headers: { location: auth.redirectTo }, body: "" };
  const path = parseRegistryPath(request.path);
  if (path === undefined || request.method !== "GET") return registryError(404, "NAME_UNKNOWN", "not served here");
  if (deps.options.isRootOpen && path.repository === undefined) return servedReply(path);
  const access = auth === "basic" ? accessByPassword(deps, request, path.repository) : accessByToken(deps, request);
  if (access === undefined || (path.repository !== undefined && !mayPull(access, path.repository))) {
    return registryError(401, "UNAUTHORIZED", "authentication required", {
      "www-authenticate": challengesOf(deps.options, auth, path.repository),
    });
  }
  return servedReply(path);
}

/** Answers the realm: Basic is checked, and what is granted may be less than what was asked. */
export function answerDockerRealm(deps: DockerDeps, request: CloudRequest): CloudReply {
  const { options } = deps;
  if (request.method !== "GET" || request.path !== realmPath) return jsonReply(404, { details: "not found" });
  if (options.realmRedirectTo !== undefined) {
    return { status: 307, headers: { location: options.realmRedirectTo }, body: "" };
  }
  const query = queryOf(request);
  const user = authenticate(options, request);
  if (user === undefined) return jsonReply(401, { details: "incorrect username or password" });
  const wanted = parseScopes(query.getAll("scope"));
  if (wanted === undefined || query.get("service") !== options.host)
    return jsonReply(400, { details: "bad service or scope" });
  const access = grantScopes(wanted, user.rights);
  const expiresIn = options.expiresInSeconds ?? 300;
  const lifetimeSeconds = expiresIn === "unsaid" ? 60 : expiresIn;
  const token = issueToken(deps, user, access, lifetimeSeconds);
  deps.tokens.set(token, { access, expiresAt: deps.clock.inSeconds(lifetimeSeconds) });
  const field = options.tokenField ?? "both";
  const members = {
    ...(field === "access_token" ? {} : { token }),
    ...(field === "token" ? {} : { access_token: token }),
    ...(expiresIn === "unsaid" ? {} : { expires_in: expiresIn, issued_at: deps.clock.now().toISOString() }),
  };
  return jsonReply(200, options.reply?.(members) ?? members);
}

function issueToken(deps: DockerDeps, user: DockerUser, access: ScopeAccess[], lifetimeSeconds: number): string {
  const shape = deps.options.tokenShape ?? "jwt";
  switch (shape) {
    case "jwt": {
      const claims = {
        iss: realmHostOf(deps.options),
        aud: deps.options.host,
        jti: randomBytes(9).toString("hex"),
        access,
      };
      return deps.signer.sign(deps.options.claims?.(claims) ?? claims, lifetimeSeconds);
    }
    case "opaque":
      return randomBytes(32).toString("base64url");
    case "echo":
      return Buffer.from(user.password).toString("base64");
    default:
      return shape satisfies never;
  }
}

export function realmHostOf(options: DockerRegistryOptions): string {
  return options.realmHost ?? options.host;
}

function challengesOf(
  options: DockerRegistryOptions,
  auth: "token" | "basic",
  repository: string | undefined,
): string[] {
  if (options.challenges !== undefined) return [...options.challenges];
  if (auth === "basic") return ['Basic realm="Registry Realm"'];
  const scope = repository === undefined ? "" : `,scope="repository:${repository}:pull"`;
  return [`Bearer realm="https://${realmHostOf(options)}${realmPath}",service="${options.host}"${scope}`];
}

function accessByPassword(
  deps: DockerDeps,
  request: CloudRequest,
  repository: string | undefined,
): ScopeAccess[] | undefined {
  const user = authenticate(deps.options, request);
  if (user === undefined || repository === undefined) return user === undefined ? undefined : [];
  return grantScopes([{ type: "repository", name: repository, actions: ["pull"] }], user.rights);
}

function accessByToken(deps: DockerDeps, request: CloudRequest): readonly ScopeAccess[] | undefined {
  const issued = deps.tokens.get(bearerOf(request) ?? "");
  return issued !== undefined && issued.expiresAt > deps.clock.now() ? issued.access : undefined;
}

function authenticate(options: DockerRegistryOptions, request: CloudRequest): DockerUser | undefined {
  const basic = basicOf(request);
  const user = basic === undefined ? undefined : options.users[basic.user];
  return user !== undefined && user.password === basic?.password ? user : undefined;
}

function mayPull(access: readonly ScopeAccess[], repository: string): boolean {
  return access.some((one) => one.type === "repository" && one.name === repository && one.actions.includes("pull"));
}
