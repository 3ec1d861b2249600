import type { AuditWriter } from "../audit/record.js";
import type { Facts } from "../broker/issue/factory-facts.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { Database } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import type { Withdrawals } from "../db/withdrawals.js";
import type { Route } from "../http/route.js";
import type { Callers } from "../identity/callers.js";
import type { RevocationLists } from "../identity/devices/revocation-lists.js";
import type { AccessTokens } from "../identity/oauth/access-tokens.js";
import type { Workloads } from "../identity/trust-rules/workloads.js";
import type { FactoryKeys } from "../secrets/factory-keys.js";
import type { routes } from "./routes.js";
import type { startAuditLog } from "./start-audit-log.js";
import type { createGrantCheck, createMinting, createPromotionTrial } from "./wiring/broker.js";
import type { createAwsDeps, createSigning, startKeyUpkeep } from "./wiring/keys.js";

import type { createLimits } from "./wiring/limits.js";
import type { createSecretLifeDeps, createSecretsDeps } from "./wiring/secrets.js";

import type { createSystemDeps } from "./wiring/system.js";

/** What all routes together need. */
export type RouteDeps = typeof routes extends readonly Route<infer Deps>[] ? Deps : never;

/** The parts that the composition root has made. */
export type Parts = {
  prisma: Database["prisma"];
  keys: KeyRing;
  audit: AuditWriter;
  generations: Generations;
  withdrawals: Withdrawals;
  callSettings: RouteDeps["callSettings"];
  facts: Facts;
  callers: Callers;
  factoryKeys: FactoryKeys;
  keyTasks: ReturnType<typeof startKeyUpkeep>["keyTasks"];
  sealer: ReturnType<typeof startAuditLog>["sealer"];
  accessTokens: AccessTokens;
  workloads: Workloads;
  revocationLists: RevocationLists;
  verification: RouteDeps["verification"];
  publicUrl: () => string;
  secrets: ReturnType<typeof createSecretsDeps>;
  life: ReturnType<typeof createSecretLifeDeps>;
  aws: ReturnType<typeof createAwsDeps>;
  minting: ReturnType<typeof createMinting>;
  trial: ReturnType<typeof createPromotionTrial>;
  grantCheck: ReturnType<typeof createGrantCheck>;
  system: ReturnType<typeof createSystemDeps>;
  limits: ReturnType<typeof createLimits>;
  signing: ReturnType<typeof createSigning>;
};

/**
 * The dependencies of all routes, each by its name: two parts cannot fill the same one without a compile error, which a
 * spread would allow.
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: a line for each dependency.
export function routeDeps(parts: Parts): RouteDeps {
  const { secrets, life, aws, minting, trial, grantCheck, system, limits, signing } = parts;
  return {
    prisma: parts.prisma,
    keys: parts.keys,
    audit: parts.audit,
    generations: parts.generations,
    withdrawals: parts.withdrawals,
    callSettings: parts.callSettings,
    facts: parts.facts,
    callers: parts.callers,
    factoryKeys: parts.factoryKeys,
    keyTasks: parts.keyTasks,
    sealer: parts.sealer,
    accessTokens: parts.accessTokens,
    workloads: parts.workloads,
    revocationLists: parts.revocationLists,
    verification: parts.verification,
    publicUrl: parts.publicUrl,
    heads: secrets.heads,
    writer: secrets.writer,
    limits: secrets.limits,
    warningsFor: secrets.warningsFor,
    mistakesFor: secrets.mistakesFor,
    configVersion: secrets.configVersion,
    entriesNaming: secrets.entriesNaming,
    documents: life.documents,
    parsedVersions: life.parsedVersions,
    undeleteDays: life.undeleteDays,
    verifyLimit: life.verifyLimit,
    uses: life.uses,
    mentionsOf: life.mentionsOf,
    awsKeys: aws.awsKeys,
    awsFiles: aws.awsFiles,
    registryTokens: minting.registryTokens,
    awsCredentials: minting.awsCredentials,
    assert: minting.assert,
    doctors: minting.doctors,
    doctorLimit: minting.doctorLimit,
    registryAccess: minting.registryAccess,
    onOpenFailed: minting.onOpenFailed,
    onToken: minting.onToken,
    tryBeforePromotion: trial.tryBeforePromotion,
    unservedRegistries: grantCheck.unservedRegistries,
    offeredCli: system.offeredCli,
    offeredHelper: system.offeredHelper,
    openApi: system.openApi,
    metricsText: system.metricsText,
    probes: system.probes,
    tokenEndpointFailures: limits.tokenEndpointFailures,
    tokenRequests: limits.tokenRequests,
    sessionRequests: limits.sessionRequests,
    signingKeys: signing.signingKeys,
    federationKeys: signing.federationKeys,
    federationUrl: signing.federationUrl,
  };
}
