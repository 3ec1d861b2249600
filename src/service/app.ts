import type { Server } from "node:http";
import { AuditWriter } from "../audit/record.js";
import { Facts } from "../broker/issue/factory-facts.js";
import { clockDifferenceMs, databaseNow } from "../core/database-clock.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { Database } from "../db/database.js";
import { Generations } from "../db/generations.js";
import { watchDatabaseClock } from "../db/measure-clock.js";
import { Withdrawals } from "../db/withdrawals.js";
import { createDrain, type Drain } from "../http/server.js";
import { openTlsCertificate, type TlsCertificate } from "../http/tls-certificate.js";
import { AccessTokens } from "../identity/oauth/access-tokens.js";
import { createPageTokens } from "../identity/oauth/keys/page-token-key.js";
import type { Logger } from "../observability/log.js";
import { Metrics } from "../observability/metrics.js";
import { createOutbound, type Outbound } from "../outbound/outbound.js";
import type { Settings } from "../settings/settings.js";
import { DocumentWorker } from "./documents/document-worker.js";
import { createGuard, createHandshakeGuard, createPipe } from "./pipe.js";
import { type Parts, routeDeps } from "./route-deps.js";
import { createServers, type Servers } from "./servers.js";
import { startAuditLog } from "./start-audit-log.js";
import { createGrantCheck, createMinting, createPromotionTrial } from "./wiring/broker.js";
import { createIdentity, unrecorded } from "./wiring/identity.js";
import { createAwsDeps, createSigning, startKeyUpkeep } from "./wiring/keys.js";

import { createLimits } from "./wiring/limits.js";
import { createRelay } from "./wiring/relay.js";
import { createSecretLifeDeps, createSecretsDeps } from "./wiring/secrets.js";

import { createSystemDeps } from "./wiring/system.js";

export type App = Servers & {
  /** To be begun before the service stops. */
  drain: Drain;
  /** How clients reach the service. It must listen by then. */
  publicUrl(): string;
  /** Announces or replaces the keys that tokens and assertions are signed with, if their time has come. */
  rotateSigningKeysIfDue(): Promise<void>;
  /** What changes where outbound calls go, in sentences for the log. */
  outboundInForce: readonly string[];
  /** Reads the service's own certificate again, if it has one. It also looks every few seconds by itself. */
  reloadCertificate(): void;
  /** Flushes what is pending and closes what the app opened; the database stays open. */
  close(): Promise<void>;
};

/**
 * The composition root: dependencies, routes, servers. Nothing listens yet.
 * @throws TlsCertificateError when the settings name a certificate that cannot be used
 */
export function createApp(input: {
  settings: Settings;
  database: Database;
  directUrl: string;
  keys: KeyRing;
  log: Logger;
}): App {
  const { settings, database, keys, log } = input;
  const { prisma, pool } = database;
  const certificate = openCertificate(settings, log);
  const metrics = new Metrics();
  const remembering = { prisma, generations: new Generations(), withdrawals: new Withdrawals() };
  const { generations, withdrawals } = remembering;
  const audit = new AuditWriter(pool, { onError: (err) => log.error({ err }, unrecorded) });
  const clock = watchClock(pool, metrics, log);
  const signing = createSigning({ prisma, audit, keys, generations, now: databaseNow }, settings);
  // Without a public name of its own the service is known by where it listens, and that is known only later.
  const publicUrl = (): string => publicUrlOf(settings, servers.server);
  const accessTokens = new AccessTokens({ keys: signing.signingKeys, issuer: publicUrl, now: databaseNow });
  const outbound = createOutbound(settings.outbound, { observe: (call) => metrics.upstreamCalled(call) });
  const onSealingFailed = () => metrics.sealingFailed();
  const auditLog = startAuditLog({ database, keys, audit, outbound, settings, log, onSealingFailed });
  metrics.watchAuditShipping(auditLog.shippingLag);
  metrics.watchAuditSealing(() => auditLog.sealer.backlog());
  const documents = startDocuments(metrics, log);
  const identity = createIdentity({ ...remembering, settings, outbound, audit, accessTokens, documents, log });
  const { callers, workloads, verification, revocationLists } = identity;
  const facts = new Facts({ prisma, generations, documents });
  const { factoryKeys, feed, keyTasks } = startKeyUpkeep({ ...input, audit, generations, withdrawals });
  const secrets = createSecretsDeps({ prisma, audit, factoryKeys, facts, maxSecrets: settings.maxSecrets });
  const life = createSecretLifeDeps({ prisma, documents, settings, log });
  const aws = createAwsDeps({ callers, facts, audit, publicUrl, factoryKeys, now: databaseNow });
  const minting = createMinting({ settings, outbound, metrics, uses: life.uses, ...signing });
  const trial = createPromotionTrial({ ...minting, ...secrets, prisma, facts });
  const grantCheck = createGrantCheck(facts);
  const drain = createDrain();
  const system = createSystemDeps({ database, keys, metrics, drain });
  const limits = createLimits({ settings, pool, metrics });
  const held = { prisma, keys, audit, generations, withdrawals, facts, callers, factoryKeys, keyTasks };
  const asking = { accessTokens, workloads, revocationLists, verification, publicUrl, sealer: auditLog.sealer };
  const made = { secrets, life, aws, minting, trial, grantCheck, system, limits, signing };
  const deps = routeDeps({ ...held, ...asking, ...made, callSettings: settings });
  const front = createFront({ ...held, ...asking, ...made, ...identity, settings, outbound, metrics, log });
  const servers = createServers({ settings, deps, certificate, drain, ...front });
  const recording = { close: () => audit.flush() };
  const first = [clock, certificate, documents, identity.unknownCallers, keyTasks, recording, life.uses];
  return {
    ...servers,
    drain,
    publicUrl,
    rotateSigningKeysIfDue: signing.rotateIfDue,
    outboundInForce: outbound.describe(),
    reloadCertificate: () => certificate?.reload(),
    close: () => closeInTurn([...first, auditLog, feed, identity.keySets, outbound]),
  };
}

/** What precedes every handler, and the relay, which has no other. */
function createFront(
  input: Pick<Parts, "prisma" | "keys" | "audit" | "generations" | "facts" | "callers" | "factoryKeys"> &
    Pick<Parts, "aws" | "life" | "limits" | "minting" | "signing" | "workloads" | "publicUrl"> &
    Pick<ReturnType<typeof createIdentity>, "devices" | "unknownCallers"> & {
      settings: Settings;
      outbound: Outbound;
      metrics: Metrics;
      log: Logger;
    },
) {
  const { prisma, keys, audit, metrics, minting, life, signing, limits } = input;
  const refusing = { ...input, ...limits, awsKeys: input.aws.awsKeys };
  const pipe = createPipe({ ...refusing, pageTokens: createPageTokens({ prisma, audit, keys }) });
  const { relayKeys } = signing;
  const { tokenRequests } = limits;
  const relay = createRelay({ ...input, ...minting, relayKeys, limits, tokenRequests, uses: life.uses, metrics, pipe });
  const guards = { refuseEarly: createGuard({ ...refusing, relay }), handshakes: createHandshakeGuard(refusing) };
  return { pipe, ...guards, wire: relay.wire };
}

/** The order matters: what one writes or sends when it closes goes through those after it. */
async function closeInTurn(opened: readonly ({ close(): void | Promise<void> } | undefined)[]): Promise<void> {
  for (const one of opened) await one?.close();
}

function startDocuments(metrics: Metrics, log: Logger): DocumentWorker {
  return new DocumentWorker((failure, err) => {
    metrics.documentFailed(failure);
    log.error({ failure, ...(err !== undefined && { err }) }, "a document could not be read in its thread");
  });
}

function watchClock(pool: Database["pool"], metrics: Metrics, log: Logger): { close(): void } {
  metrics.watchClock(clockDifferenceMs);
  return watchDatabaseClock(pool, (isRight, differenceMs) => {
    if (isRight) log.info({ differenceMs }, "the clock of this machine is right again");
    else log.error({ differenceMs }, "the clock of this machine is wrong by so much: set it, for instance by NTP");
  });
}

function openCertificate({ tls }: Settings, log: Logger): TlsCertificate | undefined {
  if (!tls) return undefined;
  return openTlsCertificate({
    files: tls,
    onProblem: (sentence) => log.warn(sentence),
    onReload: () => log.info("the certificate was read again"),
  });
}

/**
 * How clients reach the service: what the operator says, else the address that it listens on. Never taken from `Host`,
 * which anyone who asks can choose.
 * @param server - the main one, which listens by the time that someone asks
 */
function publicUrlOf(settings: Pick<Settings, "publicUrl" | "host" | "tls">, server: Server): string {
  if (settings.publicUrl !== undefined) return settings.publicUrl;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a server that listens has an address");
  const host = /^(0\.0\.0\.0|::)$/.test(settings.host) ? "127.0.0.1" : settings.host;
  const scheme = settings.tls ? "https" : "http";
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
}
