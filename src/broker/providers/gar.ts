import { isGarHost } from "../../factory-config/cloud-hosts.js";
import type { GarEntry } from "../../factory-config/entry.js";
import { Problem } from "../../http/problem.js";
import { type MintedToken, type MintRequest, type RegistryProvider, secretOf } from "../provider.js";
import { type GoogleServiceAccount, parseGoogleServiceAccount } from "../secret-formats/google-service-account.js";
import { type CloudOutbound, onlyToHosts } from "./cloud-hosts.js";
import { exchangeAssertion, federationHosts, type GoogleAccessToken, readOnlyScope } from "./google-federation.js";
import { createGoogleTransport, type GoogleOutcome } from "./google-transport.js";
import { checkRepositoryNames } from "./repository-names.js";
import { scopeNotEnforceable } from "./scope-demand.js";
import { secretMalformed, upstreamInvalid, upstreamRefused, upstreamThrottled } from "./upstream-reply.js";

export type GarDeps = { outbound: CloudOutbound; now: () => Date };

const tokenHost = "oauth2.googleapis.com";
const service = "Google";

/**
 * Google Artifact Registry: an access token of the service account (or of a federated principal), about an hour, as the
 * password of `oauth2accesstoken`.
 * Google has no token that is limited to some repositories.
 */
export function createGarProvider(deps: GarDeps): RegistryProvider<GarEntry> {
  const outbound = onlyToHosts(deps.outbound, service, (host) => host === tokenHost);
  const federation = {
    outbound: onlyToHosts(deps.outbound, service, (host) => federationHosts.includes(host)),
    nowMs: () => deps.now().getTime(),
  };

  async function mint(request: MintRequest<GarEntry>): Promise<MintedToken> {
    const host = registryHostOf(request);
    checkRepositoryNames(request.repositories ?? []);
    if (request.repositories !== undefined && !request.allowBroader) {
      throw scopeNotEnforceable(
        "Google Artifact Registry cannot limit a token to repositories. Give each group of repositories a service account and an entry of its own, and leave repositories out.",
      );
    }
    const { workloadIdentityProvider } = request.entry;
    const { accessToken, expiresAt } =
      workloadIdentityProvider === undefined
        ? await askWithKey(request)
        : await exchangeAssertion(federation, request, workloadIdentityProvider);
    return {
      registry: host,
      type: "gar",
      kind: "password",
      username: "oauth2accesstoken",
      password: accessToken,
      expiresAt,
      scopeEnforcedBy: "none",
      revocable: false,
    };
  }

  async function askWithKey(request: MintRequest<GarEntry>): Promise<GoogleAccessToken> {
    const account = readServiceAccount(request);
    const { JWT } = await import("google-auth-library");
    const transport = createGoogleTransport(outbound, request.signal);
    const client = new JWT({
      email: account.clientEmail,
      key: account.privateKey,
      scopes: [readOnlyScope],
      // Its interceptors exist for logging, which an environment variable can turn on: replies hold tokens.
      useAuthRequestParameters: false,
      transporterOptions: {
        fetchImplementation: transport.fetch,
        retryConfig: { retry: 2, noResponseRetries: 0 },
      },
    });
    const tokens = await client.authorize().catch(() => {
      // The library's error holds the request and the reply; how the call ended is known without it.
      throw googleFailure(request, transport.lastOutcome(), deps.now().getTime());
    });
    const lifeMs = (tokens.expiry_date ?? 0) - Date.now();
    if (!tokens.access_token || lifeMs <= 0) throw upstreamInvalid(service, "its reply holds no access token");
    return { accessToken: tokens.access_token, expiresAt: new Date(deps.now().getTime() + lifeMs) };
  }

  return { mint };
}

function readServiceAccount(request: MintRequest<GarEntry>): GoogleServiceAccount {
  const account = parseGoogleServiceAccount(secretOf(request).value.revealText());
  if (!account.ok) throw secretMalformed(request, account.mistakes);
  return account.value;
}

function registryHostOf(request: MintRequest<GarEntry>): string {
  const { host, entry } = request;
  if (host === undefined) {
    throw new Problem(
      "registry-required",
      `Registry entry "${entry.id}" covers every Artifact Registry host: name one, such as us-docker.pkg.dev.`,
    );
  }
  if (isGarHost(host)) return host;
  throw new Problem(
    "destination-refused",
    `${host} is not a host of Google Artifact Registry, so no Google credential is used for it.`,
  );
}

const meanings: ReadonlyMap<string, string> = new Map([
  ["invalid_grant", "the key was deleted, the service account is disabled or gone, or this service's clock is off."],
  ["invalid_client", "the service account does not exist."],
  ["unauthorized_client", "the service account may not ask for this scope."],
  ["access_denied", "an organisation policy forbids it."],
]);

function googleFailure(request: MintRequest<GarEntry>, outcome: GoogleOutcome | undefined, nowMs: number): unknown {
  if (outcome === undefined) return secretMalformed(request, ["Its private_key cannot sign."]);
  if (outcome.kind === "stopped") return outcome.reason;
  if (outcome.status === 429) return upstreamThrottled(service, outcome.retryAfter, nowMs);
  if (outcome.status >= 500) {
    return new Problem("upstream-unreachable", `${service} failed with status ${outcome.status}. Try again later.`);
  }
  if (outcome.status < 400) return upstreamInvalid(service, "its reply cannot be read");
  const meaning = meanings.get(outcome.error) ?? "see Google's list of OAuth errors.";
  return upstreamRefused(request, service, `${outcome.error}, ${meaning}`);
}
