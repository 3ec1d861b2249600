import type { Outbound } from "../../outbound/outbound.js";

// Nothing has this digest.
const digestOfNothing = `sha256:${"0".repeat(64)}`;

/**
 * Whether a registry lets a bearer pull from a repository: it is asked for a manifest that nothing has, and says that
 * it has none, or that the bearer may not ask (distribution spec, "Pulling manifests").
 */
export async function pullByDigest(
  { outbound, signal }: { outbound: Pick<Outbound, "request">; signal: AbortSignal },
  { host, repository, bearer }: { host: string; repository: string; bearer: string },
): Promise<boolean> {
  const reply = await outbound.request({
    url: `https://${host}/v2/${repository}/manifests/${digestOfNothing}`,
    headers: { authorization: `Bearer ${bearer}` },
    signal,
  });
  return reply.status === 200 || reply.status === 404;
}
