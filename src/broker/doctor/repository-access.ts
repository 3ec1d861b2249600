import type { Outbound, OutboundReply } from "../../outbound/outbound.js";
import { readTokenClaims } from "../providers/docker/token-claims.js";
import { type Check, checkedBy, failed, nowhere, passed, unknown, warned } from "./check.js";

/** A registry with a token service of its own, and a credential that it has let in. */
export type TokenService = {
  /** Asks for a token with one scope. */
  ask(scope: string): Promise<OutboundReply>;
  readBearer(reply: OutboundReply): string;
  /** Whether the registry lets a token pull from a repository. */
  canPull(bearer: string, repository: string): Promise<boolean>;
  /** What to change when a pull is refused, and when a push is not. */
  advice: { pull: string; push: string };
};

type Access = { kind: "said"; actions: readonly string[] } | { kind: "unsaid"; bearer: string } | { kind: "refused" };

/**
 * What the registry grants when it is asked for pulling and pushing: in each named repository, and in one that exists
 * nowhere, where only what is allowed everywhere is granted. Asking for a token pushes nothing.
 */
export async function checkAccess(service: TokenService, named: readonly string[] | undefined): Promise<Check[]> {
  const everywhere = accessTo(service, nowhere);
  const single = (named ?? []).map((repository) => ({ repository, access: accessTo(service, repository) }));
  // Each is awaited in a check of its own; one that fails before its turn must not end the process.
  for (const access of [everywhere, ...single.map((one) => one.access)]) access.catch(() => undefined);
  const reach = single.map(({ repository, access }) =>
    checkedBy("reach", async () => pullOf(service, repository, await access)),
  );
  return Promise.all([
    ...(named === undefined ? [checkedBy("reach", async () => reachOf(await everywhere))] : reach),
    checkedBy("push", async () => {
      const found = await Promise.all(single.map(async (one) => ({ ...one, access: await one.access })));
      return pushOf(service, await everywhere, found);
    }),
  ]);
}

async function accessTo(service: TokenService, repository: string): Promise<Access> {
  const both = await service.ask(`repository:${repository}:pull,push`);
  // Some refuse the whole where others grant less.
  const reply = both.status === 200 ? both : await service.ask(`repository:${repository}:pull`);
  if (reply.status !== 200) return { kind: "refused" };
  const bearer = service.readBearer(reply);
  const { access } = readTokenClaims(bearer);
  if (access === undefined) return { kind: "unsaid", bearer };
  const granted = access.entries.filter(({ type, name }) => type === "repository" && name === repository);
  const actions = granted.flatMap((entry) => entry.actions);
  // What cannot be read may be the right to push.
  if (access.hasUnreadable && !mayMore(actions)) return { kind: "unsaid", bearer };
  return { kind: "said", actions };
}

const mayPull = (actions: readonly string[]): boolean => actions.some((action) => action === "pull" || action === "*");
const mayMore = (actions: readonly string[]): boolean => actions.some((action) => action !== "pull");

async function pullOf(service: TokenService, repository: string, access: Access): Promise<Check> {
  const isAllowed =
    access.kind === "said"
      ? mayPull(access.actions)
      : access.kind === "unsaid" && (await service.canPull(access.bearer, repository));
  if (isAllowed) return passed("reach", `It can pull ${repository}.`);
  return failed("reach", `It may not pull ${repository}. ${service.advice.pull}`);
}

function reachOf(everywhere: Access): Check {
  if (everywhere.kind === "said" && mayPull(everywhere.actions)) {
    return passed("reach", "It can pull every repository of the registry.");
  }
  return unknown("reach", "What it can pull is known of named repositories only: name the registry and some of them.");
}

function pushOf(
  { advice }: TokenService,
  everywhere: Access,
  single: readonly { repository: string; access: Access }[],
): Check {
  if (everywhere.kind === "said" && mayMore(everywhere.actions)) {
    return warned("push", `It may push to every repository of the registry, and jobs only pull. ${advice.push}`);
  }
  const pushable = single.filter(({ access }) => access.kind === "said" && mayMore(access.actions));
  if (pushable.length > 0) {
    const where = pushable.map(({ repository }) => repository).join(", ");
    return warned("push", `It may push to ${where}, and jobs only pull. ${advice.push}`);
  }
  if ([everywhere, ...single.map(({ access }) => access)].some(({ kind }) => kind === "unsaid")) {
    return unknown("push", "The registry's tokens do not say what they may do. Look at the rights in the registry.");
  }
  const unsaid = single.length === 0 ? " It could be allowed for single ones: name them to see." : "";
  return passed("push", `It may not push.${unsaid}`);
}

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
