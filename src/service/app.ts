import { AuditWriter } from "../audit/record.js";
import { UnknownCallers } from "../audit/refusals.js";
import { Facts } from "../broker/factory-facts.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { Database } from "../db/database.js";
import { Generations } from "../db/generations.js";
import { openTlsCertificate, type TlsCertificate } from "../http/tls-certificate.js";
import { Callers } from "../identity/callers.js";
import { Devices } from "../identity/devices/devices.js";
import { AccessTokens } from "../identity/oauth/access-tokens.js";
import { KeySets } from "../identity/oidc/key-sets.js";
import { Workloads } from "../identity/oidc/workloads.js";
import type { Logger } from "../observability/log.js";
import { Metrics } from "../observability/metrics.js";
import { createOutbound, type Outbound } from "../outbound/outbound.js";
import type { Settings } from "../settings/settings.js";
import { createGuard, createHandshakeGuard, createPipe } from "./pipe.js";
import { publicUrlOf } from "./public-url.js";
import { createServers, type Servers } from "./servers.js";
import { startAuditChain } from "./start-audit-chain.js";
import { createAwsDeps } from "./wiring/aws.js";
import { createGrantCheck, createMinting, createPromotionTrial } from "./wiring/broker.js";
import { startKeyUpkeep } from "./wiring/keys.js";
import { createLimits } from "./wiring/limits.js";
import { createSecretLifeDeps, createSecretsDeps } from "./wiring/secrets.js";
import { createSigning } from "./wiring/signing.js";
import { createSystemDeps } from "./wiring/system.js";

export type App = Servers & {
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
  const generations = new Generations();
  const audit = new AuditWriter(pool);
  const now = () => new Date();
  const signing = createSigning({ prisma, audit, keys, generations, now }, settings);
  // Without a public name of its own the service is known by where it listens, and that is known only later.
  const publicUrl = (): string => publicUrlOf(settings, servers.server);
  const accessTokens = new AccessTokens({ keys: signing.signingKeys, issuer: publicUrl, now });
  const outbound = createOutbound(settings.outbound, { observe: (call) => metrics.upstreamCalled(call) });
  const onTrouble = { onOdd: () => metrics.oddEventFound(), onSealingFailed: () => metrics.sealingFailed() };
  const chain = startAuditChain({ database, keys, audit, outbound, settings, log, ...onTrouble });
  metrics.watchAuditShipping(chain.shippingLag);
  const keySets = createKeySets(outbound, log);
  const verification = { keySets, now };
  const workloads = new Workloads({ prisma, generations, ...verification });
  const onUnrecorded = (err: unknown): void => log.error({ err }, "refusals could not be recorded");
  const devices = new Devices({ prisma, generations, audit, settings: settings.devices, onError: onUnrecorded });
  const callers = new Callers({ prisma, generations, accessTokens, workloads, devices });
  const unknownCallers = new UnknownCallers({ audit, onError: onUnrecorded });
  const facts = new Facts({ prisma, generations });
  const { factoryKeys, feed, keyTasks } = startKeyUpkeep({ ...input, audit, generations });
  const secrets = createSecretsDeps({ prisma, audit, factoryKeys, facts, maxSecrets: settings.maxSecrets });
  const shared = { prisma, audit, factoryKeys, facts, callers, generations };
  const life = createSecretLifeDeps(prisma, settings, log);
  const aws = createAwsDeps({ ...shared, publicUrl, now });
  const broker = { ...shared, ...aws, ...createMinting({ settings, outbound, metrics, uses: life.uses, ...signing }) };
  const checked = { ...createPromotionTrial({ ...broker, ...secrets }), ...createGrantCheck(facts) };
  const system = createSystemDeps({ database, keys, metrics });
  const limits = createLimits({ settings, pool, metrics });
  const oauth = { accessTokens, publicUrl, workloads };
  const features = { ...oauth, ...secrets, ...life, ...broker, ...checked, ...system, ...limits, ...signing };
  const deps = { keys, keyTasks, callSettings: settings, sealer: chain.sealer, verification, ...features };
  const refusing = { callers, unknownCallers, metrics, awsKeys: aws.awsKeys, ...limits };
  const pipe = createPipe({ ...refusing, audit, log, prisma });
  const guards = { refuseEarly: createGuard(refusing), handshakes: createHandshakeGuard({ ...refusing, devices }) };
  const servers = createServers({ settings, deps, pipe, certificate, ...guards });
  const recording = { close: () => audit.flush() };
  const first = [certificate, unknownCallers, devices, keyTasks, recording, life.uses];
  return {
    ...servers,
    publicUrl,
    rotateSigningKeysIfDue: signing.rotateIfDue,
    outboundInForce: outbound.describe(),
    reloadCertificate: () => certificate?.reload(),
    close: () => closeInTurn([...first, chain, feed, keySets, outbound]),
  };
}

/** The order matters: what one writes or sends when it closes goes through those after it. */
async function closeInTurn(opened: readonly ({ close(): void | Promise<void> } | undefined)[]): Promise<void> {
  for (const one of opened) await one?.close();
}

function createKeySets(outbound: Outbound, log: Logger): KeySets {
  return new KeySets({
    outbound,
    nowMs: Date.now,
    onFailure: ({ source, error }) => log.warn({ source, err: error }, "the keys of an issuer could not be fetched"),
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
