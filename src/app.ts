import type { Server } from "node:http";
import { AuditWriter } from "./audit/record.js";
import { UnknownCallers } from "./audit/refusals.js";
import { Facts } from "./broker/factory-facts.js";
import type { BrokerDeps } from "./broker/issue-token.js";
import { createProviders } from "./broker/providers/create-providers.js";
import { checkCredentialText, checkUnnamedCredentialText } from "./broker/secret-formats/check-credential-text.js";
import { checkOtherCloud } from "./broker/secret-formats/check-other-cloud.js";
import { TokenCache } from "./broker/token-cache.js";
import type { KeyRing } from "./crypto/key-ring.js";
import { readKnownKeys } from "./crypto/store.js";
import { startChangeFeed } from "./db/change-feed.js";
import type { Database } from "./db/database.js";
import { Generations } from "./db/generations.js";
import { migrationsAreComplete } from "./db/migrate.js";
import { mentionsOf } from "./factory-config/mentions-of.js";
import { ParsedVersions } from "./factory-config/parsed-versions.js";
import { openApiTexts } from "./http/openapi.js";
import { createHttpServer } from "./http/server.js";
import type { FactoryRef } from "./identity/caller.js";
import { Callers } from "./identity/callers.js";
import { Devices } from "./identity/devices/devices.js";
import { AccessTokens } from "./identity/oauth/access-tokens.js";
import { Workloads } from "./identity/oidc/workloads.js";
import type { Logger } from "./observability/log.js";
import { Metrics } from "./observability/metrics.js";
import { createOutbound } from "./outbound/outbound.js";
import { createPipe } from "./pipe.js";
import { routes } from "./routes.js";
import { FactoryKeys } from "./secrets/factory-keys.js";
import { SecretHeads } from "./secrets/secret-heads.js";
import { SecretWriter } from "./secrets/secret-writer.js";
import { SecretUses } from "./secrets/usage/secret-uses.js";
import { valueWarnings } from "./secrets/value-warnings.js";
import { VerifyLimit } from "./secrets/verify/verify-value.js";
import type { SecretsDeps } from "./secrets/write-secrets.js";
import type { Settings } from "./settings.js";
import { metricsRoute } from "./system/routes.js";

export type App = {
  server: Server;
  /** Serves only /metrics, when the settings give it a port of its own. */
  metricsServer: Server | undefined;
  /** What changes where outbound calls go, in sentences for the log. */
  outboundInForce: readonly string[];
  /** Flushes what is pending and closes what the app opened; the database stays open. */
  close(): Promise<void>;
};

/** The composition root: dependencies, routes, servers. Nothing listens yet. */
export function createApp(input: {
  settings: Settings;
  database: Database;
  directUrl: string;
  keys: KeyRing;
  log: Logger;
}): App {
  const { settings, database, keys, log } = input;
  const { prisma, pool } = database;
  const metrics = new Metrics();
  const generations = new Generations();
  const audit = new AuditWriter(pool);
  const accessTokens = new AccessTokens();
  const workloads = new Workloads();
  const devices = new Devices();
  const callers = new Callers({ prisma, generations, accessTokens, workloads, devices });
  const unknownCallers = new UnknownCallers({
    audit,
    onError: (err) => log.error({ err }, "refusals could not be recorded"),
  });
  const outbound = createOutbound(settings.outbound, { observe: (call) => metrics.upstreamCalled(call) });
  const facts = new Facts({ prisma, generations });
  const factoryKeys = new FactoryKeys({ prisma, keys });
  const feed = startChangeFeed({
    directUrl: input.directUrl,
    pool,
    generations,
    onLost: (err) => log.warn({ err }, "the LISTEN connection was lost; polling until it is back"),
  });
  const secrets = createSecretsDeps({ prisma, audit, factoryKeys, facts, maxSecrets: settings.maxSecrets });
  const life = createSecretLifeDeps(prisma, settings, log);
  const { allowedRealms, passThroughHosts } = settings;
  const broker: BrokerDeps = {
    prisma,
    audit,
    factoryKeys,
    facts,
    callers,
    generations,
    tokens: new TokenCache({ now: () => new Date(), random: Math.random }),
    providers: createProviders({ outbound, settings: { allowedRealms, passThroughHosts }, now: () => new Date() }),
    onOpenFailed: () => metrics.secretOpenFailed(),
    onToken: countTokens(metrics, life.uses),
  };
  const system = createSystemDeps({ database, keys, metrics });
  const deps = { keys, ...secrets, ...life, ...broker, ...system };
  const pipe = createPipe({ callers, unknownCallers, audit, metrics, log, prisma });
  const { trustedProxies } = settings;
  const ownPort = settings.metricsPort !== undefined;
  const mainRoutes = ownPort ? routes.filter((route) => route.id !== metricsRoute.id) : routes;
  return {
    server: createHttpServer({ routes: mainRoutes, deps, pipe, trustedProxies }),
    metricsServer: ownPort ? createHttpServer({ routes: [metricsRoute], deps, pipe, trustedProxies }) : undefined,
    outboundInForce: outbound.describe(),
    async close() {
      await unknownCallers.close();
      await audit.flush();
      await life.uses.close();
      await feed.close();
      await outbound.close();
    },
  };
}

function createSecretsDeps(input: {
  prisma: Database["prisma"];
  audit: AuditWriter;
  factoryKeys: FactoryKeys;
  facts: Facts;
  maxSecrets: number;
}): SecretsDeps {
  const { prisma, audit, factoryKeys, facts, maxSecrets } = input;
  return {
    audit,
    factoryKeys,
    heads: new SecretHeads(prisma),
    writer: new SecretWriter(prisma, { maxSecrets }),
    limits: { maxSecrets },
    warningsFor: async (factory, name, value) => {
      const entries = (await facts.of(factory)).entries.filter(({ entry }) => entry.secretName === name);
      const types = [...new Set(entries.map(({ entry }) => entry.type))];
      const text = value.revealText();
      const remarks =
        types.length === 0
          ? checkUnnamedCredentialText(text)
          : [...checkOtherCloud(types, text), ...types.flatMap((type) => checkCredentialText(type, text))];
      return [...valueWarnings(value), ...remarks];
    },
    entriesNaming: async (factory, names) =>
      (await facts.of(factory)).entries
        .filter(({ entry }) => names.includes(entry.secretName))
        .map(({ entry }) => entry.id),
  };
}

function createSecretLifeDeps(prisma: Database["prisma"], { undeleteDays }: Settings, log: Logger) {
  const parsedVersions = new ParsedVersions();
  return {
    parsedVersions,
    undeleteDays,
    verifyLimit: new VerifyLimit({ perMinute: 10 }),
    uses: new SecretUses({ prisma, onError: (err) => log.warn({ err }, "uses of secrets could not be written") }),
    mentionsOf: (factory: FactoryRef, name: string) => mentionsOf({ prisma, parsedVersions }, factory, name),
  };
}

function countTokens(metrics: Metrics, uses: SecretUses): BrokerDeps["onToken"] {
  return ({ demand, fromCache, secret, cached }, actor) => {
    metrics.tokenIssued(demand.entry.type, fromCache);
    uses.record({ secret, actor, at: new Date(), tokenUntil: cached.token.expiresAt });
  };
}

function createSystemDeps({ database, keys, metrics }: { database: Database; keys: KeyRing; metrics: Metrics }) {
  const { prisma, pool } = database;
  const keyIsActive = async (): Promise<boolean> =>
    (await readKnownKeys(prisma)).some(({ id, state }) => id === keys.active.id && state === "active");
  return {
    openApi: once(() => openApiTexts(routes)),
    metricsText: () => metrics.registry.metrics(),
    probes: [
      { name: "database", check: async () => (await pool.query("SELECT 1")).rowCount === 1 },
      { name: "keys", check: keyIsActive },
      { name: "migrations", check: () => migrationsAreComplete(pool) },
    ],
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
