import { isGarHost } from "../../../core/cloud-hosts.js";
import { Problem } from "../../../core/problem.js";
import type { GarEntry } from "../../../factory-config/entry.js";
import { type CloudOutbound, onlyToHosts } from "../cloud-hosts.js";
import { scopeNotEnforceable } from "../docker/token-claims.js";
import { type MintedToken, type MintRequest, type RegistryProvider, secretOf } from "../provider.js";
import { checkRepositoryNames } from "../repository-names.js";
import { secretMalformed } from "../upstream-reply.js";
import { exchangeAssertion, federationHosts } from "./federation.js";
import { parseGoogleServiceAccount } from "./service-account.js";
import { type GoogleAccessToken, getGoogleToken, googleTokenHost } from "./token.js";

export type GarDeps = { outbound: CloudOutbound; now: () => Date };

const service = "Google";

// The narrowest scope that pulls. `cloud-platform` would hand the job all that the account can do in the whole cloud.
export const readOnlyScope = "https://www.googleapis.com/auth/devstorage.read_only";

/**
 * Google Artifact Registry: an access token of the service account (or of a federated principal), about an hour, as the
 * password of `oauth2accesstoken`.
 * Google has no token that is limited to some repositories.
 */
export function createGarProvider(deps: GarDeps): RegistryProvider<GarEntry> {
  const outbound = onlyToHosts(deps.outbound, service, (host) => host === googleTokenHost);
  const federation = onlyToHosts(deps.outbound, service, (host) => federationHosts.includes(host));

  async function mint(request: MintRequest<GarEntry>): Promise<MintedToken> {
    const host = readGarHost(request);
    checkRepositoryNames(request.repositories ?? []);
    if (request.repositories !== undefined && !request.allowBroader) {
      throw scopeNotEnforceable(
        "Google Artifact Registry cannot limit a token to repositories. Give each group of repositories a service account and an entry of its own, and leave repositories out.",
      );
    }
    const { accessToken, life } = await askGoogle(request);
    return {
      registry: host,
      type: "gar",
      kind: "password",
      username: "oauth2accesstoken",
      password: accessToken,
      ...life,
      scopeEnforcedBy: "none",
      revocable: false,
    };
  }

  function askGoogle(request: MintRequest<GarEntry>): Promise<GoogleAccessToken> {
    const { workloadIdentityProvider } = request.entry;
    if (workloadIdentityProvider !== undefined) {
      const wanted = { provider: workloadIdentityProvider, scope: readOnlyScope };
      return exchangeAssertion({ outbound: federation, nowMs: () => deps.now().getTime() }, request, wanted);
    }
    const account = parseGoogleServiceAccount(secretOf(request).value.revealText());
    if (!account.ok) throw secretMalformed(request, account.mistakes);
    return getGoogleToken({ outbound, now: deps.now }, request, account.value, readOnlyScope);
  }

  return { mint };
}

/** The registry's host. @throws Problem `registry-required` when no one names it, `destination-refused` for another cloud's */
export function readGarHost(request: Pick<MintRequest<GarEntry>, "host" | "entry">): string {
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
