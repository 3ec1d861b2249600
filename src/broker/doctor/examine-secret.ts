import type { RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { Plaintext } from "../../crypto/plaintext.js";
import type { SecretQuestions } from "../../limits/secret-questions.js";
import { openSecretVersion } from "../../secrets/open-secret.js";
import type { FactoryFacts, Facts } from "../factory-facts.js";
import type { MintDeps } from "../open-and-mint.js";
import { hostsOf, type Selected, selectRegistry } from "../select-registry.js";
import { type CheckOutcome, worstOf } from "./check.js";
import type { Doctors } from "./create-doctors.js";
import { type ExaminedRegistry, examineRegistry } from "./examine-registry.js";
import { findVersionToExamine, type VersionToExamine } from "./store.js";

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
