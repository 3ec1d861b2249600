import type { RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { Plaintext } from "../../crypto/plaintext.js";
import type { PrismaClient } from "../../db/database.js";
import type { SecretQuestions } from "../../limits/secret-questions.js";
import { openSecretVersion } from "../../secrets/open-secret.js";
import { hostsOf, type Selected, selectRegistry } from "../issue/decide-demands.js";
import type { FactoryFacts, Facts } from "../issue/factory-facts.js";
import type { MintDeps } from "../issue/open-and-mint.js";
import { type CheckOutcome, worstOf } from "./check.js";
import { type Doctors, type ExaminedRegistry, examineRegistry } from "./examine-registry.js";

/** One run makes up to a dozen calls for each of them. */
const maxPlaces = 20;

/**
 * Where a secret is to be tried: every host of every entry that names it, or the one that is asked for.
 * @throws Problem `registry-unknown`, `registry-required`, `limit-reached` when they are too many for one run
 */
function placesOf(facts: FactoryFacts, secretName: string, registry: string | undefined): Selected[] {
  const naming = facts.entries.filter(({ entry }) => entry.secretName === secretName);
  const places =
    registry === undefined
      ? naming.flatMap((known): Selected[] => {
          const hosts = hostsOf(known.entry);
          return hosts.length > 0 ? hosts.map((host) => ({ ...known, host })) : [{ ...known, host: undefined }];
        })
      : selectRegistry(naming, registry);
  if (places.length <= maxPlaces) return places;
  throw new Problem(
    "limit-reached",
    `${places.length} registries name this secret, and ${maxPlaces} are tried at once. Name one of them in "registry".`,
  );
}

export type DoctorDeps = Omit<MintDeps, "providers" | "assert"> & {
  facts: Facts;
  doctors: Doctors;
  doctorLimit: SecretQuestions;
  /** What a write of the value would be warned of. */
  warningsFor(factory: FactoryRef, name: string, value: Plaintext): Promise<{ code: string; message: string }[]>;
};

export type DoctorInput = {
  factory: FactoryRef;
  caller: Caller;
  name: string;
  /** Absent: the current one. */
  version: number | undefined;
  /** Absent: every registry that names the secret. */
  registry: string | undefined;
  repositories: readonly string[] | undefined;
  requested: RequestedBy;
};

type ValueCheck = { code: string; outcome: CheckOutcome; message: string };

export type DoctorReport = {
  name: string;
  version: number;
  currentVersion: number;
  outcome: CheckOutcome;
  passed: boolean;
  checks: ValueCheck[];
  registries: ExaminedRegistry[];
};

/**
 * Tries a version of a secret at the registries whose entries name it, as a job's request would, and compares it with
 * the current version. Nothing changes, here or there, and no token is kept. The openings are in the audit before the
 * answer leaves, whatever it is.
 * @throws Problem `not-found`, `version-unsuitable` when it is destroyed, `too-many-requests`, `registry-unknown`,
 *   `registry-required`, `secret-unreadable`, `secret-in-use` when an entry names it and the version may be delivered to jobs
 */
export async function examineSecret(deps: DoctorDeps, input: DoctorInput): Promise<DoctorReport> {
  const { factory, name } = input;
  await deps.doctorLimit.count(factory.id, name);
  const found = await findVersionToExamine(deps.prisma, { factoryId: factory.id, name, version: input.version });
  if (found === undefined) throw new Problem("not-found", `There is no secret "${name}".`);
  if (found === "no-version") {
    throw new Problem("not-found", `There is no version ${input.version} of the secret "${name}".`);
  }
  if (found.destroyed) {
    throw new Problem("version-unsuitable", `The value of version ${found.version} was destroyed for good.`);
  }
  // A destination that was withdrawn a moment ago on another replica is sent nothing.
  const places = placesOf(await deps.facts.present(factory), name, input.registry);
  // What a registry was ever opened with is never delivered, so what may be delivered is not tried at one.
  if (places.length > 0 && found.delivered) throw deliveredIsNotTried(found.version);
  const value = await open(deps, input, found, found.version);
  if (!value) throw new Problem("conflict", "The version was destroyed meanwhile.");
  let current: Plaintext | undefined;
  let ended: DoctorReport | undefined;
  try {
    current = await openCurrent(deps, input, found);
    ended = await examineValue(deps, input, found, { places, value, current });
    return ended;
  } finally {
    value.erase();
    current?.erase();
    // Whatever came of it: they were opened.
    await record(deps, input, { found, isCompared: current !== undefined }, ended);
  }
}

type Opened = { places: ReturnType<typeof placesOf>; value: Plaintext; current: Plaintext | undefined };

async function examineValue(
  deps: DoctorDeps,
  input: DoctorInput,
  found: VersionToExamine,
  { places, value, current }: Opened,
): Promise<DoctorReport> {
  const { factory, name, repositories } = input;
  const { version, currentVersion } = found;
  const secret = { name, version, value };
  const subject = { factoryId: factory.id, secret, repositories, current };
  const registries = await Promise.all(places.map((place) => examineRegistry(deps.doctors, place, subject)));
  const checks = await checksOfValue(deps, input, found, value);
  if (places.length === 0) checks.push(unnamed(name));
  const all = [...checks, ...registries.flatMap((registry) => registry.checks)];
  return {
    name,
    version,
    currentVersion,
    outcome: worstOf(all),
    passed: registries.every(({ isLoggedIn, outcome }) => isLoggedIn && outcome !== "failed"),
    checks,
    registries,
  };
}

function open(
  deps: DoctorDeps,
  { factory, caller, name }: DoctorInput,
  { secretId }: VersionToExamine,
  version: number,
) {
  return openSecretVersion(deps, { factory, actor: actorOf(caller), secret: { id: secretId, name, version } });
}

/** The version to compare with. One that does not open is nothing to compare with; that is in the audit by then. */
async function openCurrent(
  deps: DoctorDeps,
  input: DoctorInput,
  found: VersionToExamine,
): Promise<Plaintext | undefined> {
  if (found.version === found.currentVersion) return undefined;
  try {
    return await open(deps, input, found, found.currentVersion);
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

async function checksOfValue(
  deps: DoctorDeps,
  { factory, name }: DoctorInput,
  { expiresAt }: VersionToExamine,
  value: Plaintext,
): Promise<ValueCheck[]> {
  const warnings = await deps.warningsFor(factory, name, value);
  const checks: ValueCheck[] = warnings.map(({ code, message }) => ({ code, outcome: "warning", message }));
  if (expiresAt && expiresAt <= databaseNow()) {
    checks.push({
      code: "expired",
      outcome: "warning",
      message: "By its expiresAt this credential has ended already.",
    });
  }
  return checks;
}

const deliveredIsNotTried = (version: number): Problem =>
  new Problem(
    "secret-in-use",
    `Version ${version}, or the current one, may be delivered to jobs (deliverToJobs), so it is not sent to the registry whose entry names the secret. Store the value with deliverToJobs false.`,
  );

const unnamed = (name: string): ValueCheck => ({
  code: "unnamed",
  outcome: "unknown",
  message: `No registry entry names the secret "${name}", so there was nothing to try it at.`,
});

async function record(
  deps: DoctorDeps,
  { factory, caller, name, requested }: DoctorInput,
  { found, isCompared }: { found: VersionToExamine; isCompared: boolean },
  report: DoctorReport | undefined,
): Promise<void> {
  const { version, currentVersion } = found;
  await deps.audit.write({
    ...{ at: databaseNow(), outcome: report ? "allowed" : "failed", actor: actorOf(caller), factory, ...requested },
    body: {
      action: "secret.examined",
      secret: name,
      secretVersion: version,
      ...(isCompared && { comparedWith: currentVersion }),
      ...(report ? { result: report.outcome, findings: findingsOf(report) } : { result: "failed", findings: [] }),
    },
  });
}

/** What was not in order: `<entry or value>: <code> <outcome>`. */
function findingsOf({ checks, registries }: DoctorReport): string[] {
  const named = [
    ...checks.map((check) => ({ at: "value", ...check })),
    ...registries.flatMap(({ entry, registry, checks: found }) =>
      found.map((check) => ({ at: registry ?? entry, ...check })),
    ),
  ];
  return named.filter(({ outcome }) => outcome !== "ok").map(({ at, code, outcome }) => `${at}: ${code} ${outcome}`);
}

/** A version that can be tried, and the current one of its secret. */
export type VersionToExamine = {
  secretId: string;
  currentVersion: number;
  version: number;
  destroyed: boolean;
  /** It, or the current one that it is compared with, may be delivered to jobs. */
  delivered: boolean;
  expiresAt: Date | null;
};

/**
 * Finds a version of a secret that is not deleted.
 * @param version - absent: the current one
 * @returns `undefined` when there is no such secret, `"no-version"` when there is no such version of it
 */
export async function findVersionToExamine(
  prisma: PrismaClient,
  of: { factoryId: string; name: string; version: number | undefined },
): Promise<VersionToExamine | "no-version" | undefined> {
  const { factoryId, name } = of;
  const secret = await prisma.secret.findFirst({
    select: { id: true, currentVersion: true },
    where: { factoryId, name, deletedAt: null },
  });
  if (!secret) return undefined;
  const { id: secretId, currentVersion } = secret;
  const version = of.version ?? currentVersion;
  const rows = await prisma.secretVersion.findMany({
    select: { version: true, destroyedAt: true, expiresAt: true, deliverToJobs: true },
    where: { secretId, version: { in: [version, currentVersion] } },
  });
  const row = rows.find((one) => one.version === version);
  if (!row) return "no-version";
  const delivered = rows.some(({ deliverToJobs }) => deliverToJobs);
  return {
    secretId,
    currentVersion,
    version,
    destroyed: row.destroyedAt !== null,
    delivered,
    expiresAt: row.expiresAt,
  };
}

/**
 * Tries a version at every registry that names its secret, and lets it through only when each of them let it in and
 * nothing failed. Warnings do not hold it up. A secret that no entry names has nowhere to be tried.
 * @throws Problem `version-unsuitable` with the first finding, and what `examineSecret` throws
 */
export async function requirePassed(
  deps: DoctorDeps,
  input: Omit<DoctorInput, "registry" | "repositories"> & { version: number },
): Promise<void> {
  const report = await examineSecret(deps, { ...input, registry: undefined, repositories: undefined });
  if (report.passed) return;
  const refusing = report.registries.find(({ isLoggedIn, outcome }) => !isLoggedIn || outcome === "failed");
  const finding = refusing?.checks.find(({ outcome }) => outcome === "failed") ?? refusing?.checks[0];
  throw new Problem(
    "version-unsuitable",
    `Version ${input.version} did not pass, so it was not promoted. ${refusing?.registry ?? refusing?.entry}: ${finding?.message} See all that was found: POST .../secrets/${input.name}/versions/${input.version}:doctor`,
  );
}
