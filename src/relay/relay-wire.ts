import type { Caller } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import { send } from "../http/send.js";
import type { Learned, Wire, WireRequest } from "../http/wire.js";
import { CredentialRefused } from "../identity/invalid-credential.js";
import { authenticatePull, missingCredential, requirePermission } from "./callers.js";
import { insufficientScope } from "./decide-pull.js";
import { type Asked, parseAsked, scopeNameOf } from "./names.js";
import { commonHeaders, OciProblem, ociErrors, tokenErrors } from "./oci-errors.js";
import { answerPull, type PullDeps } from "./pull.js";
import { answerTokenRequest, type TokenEndpointDeps } from "./token-endpoint.js";

export type RelayDeps = PullDeps &
  TokenEndpointDeps & {
    publicUrl: () => string;
    /** `FACTORY_SECRETS_PUBLIC_URL`; absent when the operator gives no name. */
    givenPublicUrl: string | undefined;
  };

/** Everything that the relay answers: as the log and the metrics call it, and an example of its path. */
export const relayOperations = {
  ping: { id: "relayPing", methods: ["GET", "HEAD"], path: "/v2/" },
  token: { id: "relayToken", methods: ["GET", "POST"], path: "/v2/token" },
  manifest: { id: "relayManifest", methods: ["GET", "HEAD"], path: "/v2/{name}/manifests/{reference}" },
  blob: { id: "relayBlob", methods: ["GET", "HEAD"], path: "/v2/{name}/blobs/{digest}" },
  tags: { id: "relayTags", methods: ["GET", "HEAD"], path: "/v2/{name}/tags/list" },
  referrers: { id: "relayReferrers", methods: ["GET", "HEAD"], path: "/v2/{name}/referrers/{digest}" },
} as const satisfies Record<Asked["what"], { id: string; methods: readonly string[]; path: string }>;

/**
 * The pull half of the distribution specification (OCI 1.1) under `/v2/`. It stores nothing and takes no pushes.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export function createRelayWire(deps: RelayDeps): Wire {
  return {
    prefix: "/v2",
    answer: (wire, learned) => answer(deps, wire, learned),
    errorsFor({ request, askedAt, isForDevices = false }) {
      const [path = "", query = ""] = (request.url ?? "").split("?");
      if (path === relayOperations.token.path) return tokenErrors();
      const isHead = request.method === "HEAD";
      return ociErrors({
        isHead,
        challenge: (problem) => {
          const hosts = ownHostsOf(deps, askedAt);
          return challengeOf(baseOf(deps, { askedAt, isForDevices }), scopeOf(path, query, hosts), problem);
        },
      });
    },
  };
}

async function answer(deps: RelayDeps, wire: WireRequest, learned: Learned): Promise<void> {
  // What a device gets by its certificate has no Authorization to keep it out of a cache between.
  wire.response.setHeader("Cache-Control", "no-store");
  wire.response.setHeader("X-Request-Id", wire.facts.id);
  requireMethod(wire);
  const ownHosts = ownHostsOf(deps, wire.askedAt);
  const asked = parseAsked(wire.path, wire.query, ownHosts);
  learned.operation = relayOperations[asked.what].id;
  const onCaller = (caller: Caller): void => {
    learned.caller = caller;
  };
  if (asked.what === "token") return sendJson(wire, await answerTokenRequest(deps, wire, onCaller));
  const place = asked.what === "ping" ? undefined : asked.place;
  const asker = await authenticatePull(deps, wire, place?.factory);
  if (!asker) throw missingCredential(wire.isForDevices);
  const { caller, names } = asker;
  onCaller(caller);
  if (asked.what === "ping") return sendJson(wire, {});
  const factory = await deps.findFactory(caller, asked.place.factory);
  if (!factory) throw new Problem("not-found", "There is no such factory, or this credential is not of it.");
  learned.factory = factory;
  requirePermission(caller);
  const withoutPorts = ownHosts.map((host) => host.replace(/:\d+$/, ""));
  await answerPull(deps, { caller, factory, asked, names, ownHosts: [...new Set(withoutPorts)], wire });
}

/** Before the path is read: where a client pushes there is nothing else. */
function requireMethod({ request: { method = "" }, path }: WireRequest): void {
  const isForToken = path === relayOperations.token.path;
  const { methods } = isForToken ? relayOperations.token : relayOperations.ping;
  if (methods.some((one) => one === method)) return;
  const allow = methods.join(", ");
  const sentence = isForToken
    ? `The token endpoint takes ${allow}.`
    : "The relay takes no pushes. It answers pulls only.";
  throw new OciProblem("UNSUPPORTED", "method-not-allowed", sentence, { allow });
}

function sendJson({ response }: WireRequest, body: object): void {
  send(response, 200, { ...commonHeaders, "Content-Type": "application/json" }, JSON.stringify(body));
}

/** The names by which the client may know the relay, with and without their ports. */
function ownHostsOf({ publicUrl }: RelayDeps, askedAt: WireRequest["askedAt"] | undefined): string[] {
  const hosts = [new URL(publicUrl()).host, ...(askedAt ? [askedAt.host.toLowerCase()] : [])];
  return [...new Set(hosts.flatMap((host) => [host, host.replace(/:\d+$/, "")]))].filter((host) => host !== "");
}

const plainHost = /^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;

/**
 * Where the client is to come for a token: the very host and port that it used. A daemon uses its TLS settings for a
 * registry, such as a device's certificate, at no other (moby#45327). A name that the operator gave goes before `Host`;
 * that of a proxy that is trusted goes before both. The port for devices has no other name than the one it was asked by.
 */
function baseOf(
  { givenPublicUrl, publicUrl }: RelayDeps,
  { askedAt, isForDevices }: { askedAt: WireRequest["askedAt"] | undefined; isForDevices: boolean },
): string {
  const isAsAsked = askedAt !== undefined && (askedAt.isForwarded || isForDevices || givenPublicUrl === undefined);
  if (isAsAsked && plainHost.test(askedAt.host)) return `${askedAt.scheme}://${askedAt.host}`;
  return publicUrl();
}

function scopeOf(path: string, query: string, ownHosts: readonly string[]): string | undefined {
  try {
    const asked = parseAsked(path, new URLSearchParams(query), ownHosts);
    return "place" in asked ? `repository:${scopeNameOf(asked.place)}:pull` : undefined;
  } catch (error) {
    if (error instanceof OciProblem) return undefined;
    throw error;
  }
}

/** Distribution specification, auth/token; RFC 6750, section 3. */
function challengeOf(base: string, scope: string | undefined, problem: Problem): string {
  const { cause } = problem;
  const reason = cause instanceof CredentialRefused && cause.reason !== "missing" ? cause.reason : undefined;
  const params = {
    realm: `${base}/v2/token`,
    service: new URL(base).host,
    ...(scope && { scope }),
    ...(reason && { error: reason === insufficientScope ? reason : "invalid_token" }),
  };
  return `Bearer ${Object.entries(params)
    .map(([name, value]) => `${name}="${value}"`)
    .join(",")}`;
}
