import type { Database } from "../../db/database.js";
import { AuthenticationFailures } from "../../limits/authentication-failures.js";
import { Handshakes } from "../../limits/handshakes.js";
import { limitedAddress } from "../../limits/limited-address.js";
import { TokenEndpointFailures } from "../../limits/token-endpoint-failures.js";
import { TokenRequests } from "../../limits/token-requests.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Settings } from "../../settings/settings.js";

/** The rate limits that the settings ask for. */
export function createLimits(input: { settings: Settings; pool: Database["pool"]; metrics: Metrics }) {
  const { pool, metrics } = input;
  const { authFailuresPerMinute, tokenRequestsPerMinute } = input.settings.limits;
  const { trustedProxies, devices } = input.settings;
  // A proxy of devices whose X-Forwarded-For is not believed stands for all of them.
  const proxies = [...trustedProxies, ...(devices.proxies?.addresses ?? [])];
  const failures = { perMinute: authFailuresPerMinute, limitedAddress: limitedAddress(proxies) };
  const authenticationFailures = new AuthenticationFailures(failures);
  return {
    authenticationFailures,
    handshakes: new Handshakes({ ...failures, failures: authenticationFailures }),
    tokenEndpointFailures: new TokenEndpointFailures({
      ...failures,
      pool,
      onLimited: () => metrics.requestLimited("token-endpoint-failures"),
    }),
    tokenRequests: new TokenRequests({
      tokens: "registry tokens",
      perMinute: tokenRequestsPerMinute,
      onLimited: () => metrics.requestLimited("token-requests"),
    }),
    costlyRequests: new TokenRequests({
      tokens: "work of this kind",
      perMinute: tokenRequestsPerMinute,
      onLimited: () => metrics.requestLimited("costly-requests"),
    }),
    relayTokenRequests: new TokenRequests({
      tokens: "tokens of the relay",
      perMinute: tokenRequestsPerMinute,
      onLimited: () => metrics.requestLimited("relay-token-requests"),
    }),
    // One credential can stand for the nodes of a cluster, and an image for several platforms has several manifests.
    relayedManifests: new TokenRequests({
      tokens: "manifests",
      perMinute: 10 * tokenRequestsPerMinute,
      onLimited: () => metrics.requestLimited("relayed-manifests"),
    }),
    sessionRequests: new TokenRequests({
      tokens: "access tokens",
      perMinute: tokenRequestsPerMinute,
      onLimited: () => metrics.requestLimited("session-requests"),
    }),
  };
}
