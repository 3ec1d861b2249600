import { Problem } from "../../core/problem.js";
import type { Outbound } from "../../outbound/outbound.js";

/** The outbound calls of one provider, held to the hosts of its cloud. */
export type CloudOutbound = Pick<Outbound, "request">;

/**
 * May I dial is one question, may I send credentials another: this wrapper answers the second. Every call of a cloud
 * provider goes through it, the SDKs' included, so that a region or a host in tenant data cannot lead them elsewhere.
 * @throws Problem `destination-refused` for any other host, port or scheme, before anything is sent
 */
export function onlyToHosts(
  outbound: CloudOutbound,
  cloud: string,
  isOwnHost: (host: string) => boolean,
): CloudOutbound {
  return {
    request: async (request) => {
      const url = new URL(request.url);
      if (url.protocol !== "https:" || url.port !== "" || !isOwnHost(url.hostname)) {
        throw new Problem(
          "destination-refused",
          `${cloud} credentials are sent to hosts of ${cloud} only, not to ${url.host}.`,
        );
      }
      return outbound.request(request);
    },
  };
}
