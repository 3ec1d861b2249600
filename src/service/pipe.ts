import type { UnknownCallers } from "../audit/counted-events.js";
import { type AuditWriter, requestedBy } from "../audit/record.js";

import { awsErrorShapeOf } from "../aws/aws-errors.js";
import type { AwsKeys } from "../aws/aws-keys.js";
import { type Actor, actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import type { Database } from "../db/database.js";
import { findFactory } from "../factories/store.js";
import type { HandshakeGuard } from "../http/guard-handshakes.js";
import type { Pipe } from "../http/mount.js";
import type { PageTokens } from "../http/page.js";
import type { RefuseEarly } from "../http/server.js";
import { isOnWire, type Wire } from "../http/wire.js";
import type { Callers } from "../identity/callers.js";
import type { Devices } from "../identity/devices/devices.js";
import { CredentialRefused, isFailedAuthentication } from "../identity/invalid-credential.js";
import type { AuthenticationFailures } from "../limits/authentication-failures.js";
import type { Handshakes } from "../limits/handshakes.js";
import type { TokenRequests } from "../limits/token-requests.js";
import type { Logger } from "../observability/log.js";
import type { Metrics } from "../observability/metrics.js";
import { type CallerDeps, presentsUnknown } from "../relay/callers.js";

/** Different refusals of a factory's callers in a minute; those beyond are counted by their code alone. */
const maxRefusalsOfFactory = 1_000;
const otherCallers: Actor = { kind: "unknown", id: "", name: "others" };

/** Puts together what runs in front of every handler and after it. */
export function createPipe(input: {
  callers: Callers;
  unknownCallers: UnknownCallers;
  audit: AuditWriter;
  metrics: Metrics;
  log: Logger;
  prisma: Database["prisma"];
  pageTokens: PageTokens;
  authenticationFailures: AuthenticationFailures;
  handshakes: Handshakes;
  costlyRequests: TokenRequests;
}): Pipe {
  const { callers, unknownCallers, authenticationFailures, handshakes, costlyRequests } = input;
  const { audit, metrics, log, prisma, pageTokens } = input;
  return {
    authenticate: (request, factory, takesBareToken, facts) =>
      callers.authenticate(request, factory, takesBareToken, requestedBy(facts)),
    pageTokens,
    errorShapeOf: awsErrorShapeOf,
    countCostly: (caller) => costlyRequests.count(caller),
    findFactory: (caller, name) => findFactoryOf(prisma, caller, name),
    async recordRefusal({ caller, factory, route, problem, facts }) {
      // A factory that this caller may not know of is not named in the row either.
      const of = factory ?? caller.factory;
      const actor = actorOf(caller);
      const { code } = problem;
      const refused = { at: databaseNow(), outcome: "refused", ...(of && { factory: of }) } as const;
      await audit
        .writeCounted(
          {
            key: [actor.kind, actor.id, actor.name, route, code],
            event: { ...refused, actor, ...requestedBy(facts), body: { action: "request.refused", route, code } },
          },
          {
            key: [code],
            event: { ...refused, actor: otherCallers, body: { action: "request.refused", route: "others", code } },
            maxOfFactory: maxRefusalsOfFactory,
          },
        )
        .catch((err: unknown) => log.error({ err }, "a refusal could not be recorded"));
    },
    onAnswered({ route, status, seconds, facts, caller, problem }) {
      const { id: requestId, clientId: clientRequestId, address } = facts;
      metrics.requestAnswered(route, status, seconds);
      if (caller?.kind === "device") handshakes.accepted(address);
      if (isFailedAuthentication(problem)) {
        metrics.authenticationFailed();
        unknownCallers.refused(address);
        void authenticationFailures.failed(address);
      }
      const line = {
        requestId,
        clientRequestId,
        route,
        status,
        ms: Math.round(seconds * 10_000) / 10,
        caller: caller?.id,
        code: problem?.code,
        reason: problem?.cause instanceof CredentialRefused ? problem.cause.reason : undefined,
      };
      if (problem && status >= 500) log.error({ ...line, err: problem.cause ?? problem }, "failed");
      // A 503 of /readyz is what was asked for: each planned restart has some.
      else if (status >= 500) log.warn(line, "not ready");
      else log.info(line, "answered");
    },
  };
}

/**
 * Makes the guard in front of everything: an address that has sent too many bad credentials gets no further with one
 * that no one knows. Anyone who sits behind the same address with a credential that has worked before goes through.
 */
export function createGuard(input: {
  callers: Callers;
  unknownCallers: UnknownCallers;
  authenticationFailures: AuthenticationFailures;
  metrics: Metrics;
  awsKeys: AwsKeys;
  relay: { wire: Wire; callers: CallerDeps };
}): RefuseEarly {
  const { callers, unknownCallers, authenticationFailures, metrics, awsKeys, relay } = input;
  return (request, addressOf) => {
    if (authenticationFailures.isQuiet) return undefined;
    const address = addressOf();
    const refusal = authenticationFailures.refusalOf(address);
    if (!refusal) return undefined;
    const isForRelay = isOnWire(relay.wire, request);
    if (!(isForRelay ? presentsUnknown(relay.callers, request) : callers.presentsUnknown(request))) return undefined;
    if (awsKeys.remembers(request.headers.authorization)) return undefined;
    metrics.requestLimited("authentication-failures");
    unknownCallers.refused(address);
    return refusal;
  };
}

/** Makes the guard in front of the handshakes of devices, which counts whom it keeps out. */
export function createHandshakeGuard(input: {
  handshakes: Handshakes;
  unknownCallers: UnknownCallers;
  metrics: Metrics;
  devices: Devices;
}): HandshakeGuard {
  const { handshakes, unknownCallers, metrics, devices } = input;
  return {
    isKnown: (socket) => devices.isKnown(socket),
    overlong: (address) => handshakes.overlong(address),
    begin(address) {
      const begun = handshakes.begin(address);
      if (begun) return begun;
      metrics.requestLimited("device-handshakes");
      unknownCallers.refused(address);
      return undefined;
    },
  };
}

async function findFactoryOf(
  prisma: Database["prisma"],
  caller: Caller,
  name: string,
): Promise<FactoryRef | undefined> {
  if (caller.kind !== "operator") return caller.factory?.name === name ? caller.factory : undefined;
  const row = await findFactory(prisma, name);
  return row ? { id: row.id, name: row.name } : undefined;
}
