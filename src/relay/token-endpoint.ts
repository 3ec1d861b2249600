import { z } from "zod";
import type { FactoryFacts, Facts } from "../broker/issue/factory-facts.js";
import type { Caller, FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import { parseForm, readBytes } from "../http/read-body.js";

import type { WireRequest } from "../http/wire.js";
import type { TokenRequests } from "../limits/token-requests.js";
import { authenticateForToken, type CallerDeps, type Presented, presentedBy, requirePermission } from "./callers.js";
import { demandFor } from "./decide-pull.js";
import { type Place, placeOfScopeName, scopeNameOf } from "./names.js";
import { maxNamesOfToken } from "./relay-tokens.js";

export type TokenEndpointDeps = CallerDeps & {
  facts: Facts;
  relayTokenRequests: TokenRequests;
  findFactory(caller: Caller, name: string): Promise<FactoryRef | undefined>;
};

/** What a client is given (distribution specification, auth/token and auth/oauth). `token` is for GET. */
type TokenReply = { token?: string; access_token: string; scope: string; expires_in: number; issued_at: string };

/** An ID token of 16 KiB, and the fields beside it. */
const maxFormBytes = 20 * 1024;

const Form = z.object({
  grant_type: z.string().optional(),
  scope: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  refresh_token: z.string().optional(),
});

/**
 * Answers the token endpoint: GET with Basic (auth/token), or POST with a form (auth/oauth). What is asked for and not
 * granted is left out of the token; so is what is unknown. A login asks for nothing, and is answered too.
 * @param onCaller - told who asks, once that is known
 * @throws Problem `unauthenticated`, `forbidden`, `too-many-requests`, and those of a form that cannot be read
 */
export async function answerTokenRequest(
  deps: TokenEndpointDeps,
  asked: WireRequest,
  onCaller: (caller: Caller) => void,
): Promise<TokenReply> {
  const isForm = asked.request.method === "POST";
  const { presented, scopes } = isForm ? await readForm(asked) : readQuery(asked);
  const wanted = scopes.slice(0, maxNamesOfToken).flatMap((scope) => {
    const place = placeOfScope(scope);
    return place ? [{ scope, place }] : [];
  });
  const input = { presented, factory: wanted[0]?.place.factory };
  const { caller, holder } = await authenticateForToken(deps, asked, input);
  onCaller(caller);
  requirePermission(caller);
  await deps.relayTokenRequests.count(caller);
  const granted = await grantedOf(deps, caller, wanted);
  const names = [...new Set(granted.map(({ place }) => scopeNameOf(place)))];
  const { isForDevices } = asked;
  const issued = await deps.relayTokens.issue({ holder, names, isForDevices, endsAt: endOf(caller) });
  return {
    ...(!isForm && { token: issued.token }),
    access_token: issued.token,
    scope: [...new Set(granted.map(({ scope }) => pullOnly(scope)))].join(" "),
    expires_in: issued.seconds,
    issued_at: issued.issuedAt.toISOString(),
  };
}

type Credentials = { presented: Presented | undefined; scopes: string[] };

function readQuery({ request, query }: WireRequest): Credentials {
  return { presented: presentedBy(request), scopes: query.getAll("scope").flatMap(splitScopes) };
}

async function readForm(asked: WireRequest): Promise<Credentials> {
  const { request, response } = asked;
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== undefined && type !== "application/x-www-form-urlencoded") {
    throw new Problem("unsupported-media-type", "This takes application/x-www-form-urlencoded.");
  }
  const form = Form.parse(parseForm(await readBytes(request, response, { maxBytes: maxFormBytes, mayUnpack: false })));
  const scopes = splitScopes(form.scope ?? "");
  switch (form.grant_type) {
    case "password": {
      const { username: user, password: token } = form;
      if (token === undefined) throw new Problem("invalid-request", "The field password is missing.");
      return { presented: { token, ...(user !== undefined && { user }) }, scopes };
    }
    case "refresh_token":
      if (form.refresh_token === undefined) throw new Problem("invalid-request", "The field refresh_token is missing.");
      return { presented: { token: form.refresh_token }, scopes };
    default:
      throw new Problem("unsupported-grant-type", "The grant types that are taken here: password, refresh_token.");
  }
}

const splitScopes = (text: string): string[] => text.split(" ").filter((scope) => scope !== "");

/** `repository:<name>:<actions>`, with `pull` among the actions. A name of ours has no colon. */
const scopePattern = /^repository:([^:]+):(?:[a-z*]+,)*(?:pull|\*)(?:,[a-z*]+)*$/;

function placeOfScope(scope: string): Place | undefined {
  const [, name] = scopePattern.exec(scope) ?? [];
  return name === undefined ? undefined : placeOfScopeName(name);
}

const pullOnly = (scope: string): string => scope.replace(/:[^:]*$/, ":pull");

type Scoped = { scope: string; place: Place };

/** Those of the places that the caller may pull from, each judged alone by the present facts of its factory. */
async function grantedOf(deps: TokenEndpointDeps, caller: Caller, asked: readonly Scoped[]): Promise<Scoped[]> {
  const known = new Map<string, FactoryFacts | undefined>();
  for (const name of new Set(asked.map(({ place }) => place.factory))) {
    const factory = await deps.findFactory(caller, name);
    known.set(name, factory && (await deps.facts.present(factory)));
  }
  return asked.filter(({ place }) => isGranted(known.get(place.factory), caller, place));
}

function isGranted(facts: FactoryFacts | undefined, caller: Caller, place: Place): boolean {
  if (!facts) return false;
  try {
    demandFor(facts, caller, place);
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

/** No token outlives its caller, nor what the rule or the authority that lets the caller in allows. */
function endOf({ expiresAt, maxTtlSeconds }: Caller): Date | undefined {
  const ends = [expiresAt?.getTime(), maxTtlSeconds && databaseNow().getTime() + maxTtlSeconds * 1000].filter(
    (end) => end !== undefined,
  );
  return ends.length > 0 ? new Date(Math.min(...ends)) : undefined;
}
