import { Problem } from "../../../core/problem.js";
import type { AwsEntry } from "../../../factory-config/entry.js";
import type { RegistryProvider } from "../../provider.js";
import { getEcrPassword, getEcrPublicPassword } from "../../providers/aws-ecr.js";
import { assumeRoles, placeOfRegistry, readAwsIdentity, readEcrRegistry } from "../../providers/aws-identity.js";
import { isAwsServiceHost } from "../../providers/aws-service-host.js";
import { type AwsSession, getCallerIdentity, type Sts } from "../../providers/aws-sts.js";
import { type CloudOutbound, onlyToHosts } from "../../providers/cloud-hosts.js";
import { type Check, checkedBy, checkOfFailure, passed, warned } from "../check.js";
import { assertNothing, nowhere, type RegistryDoctor } from "../registry-doctor.js";
import type { AwsExamination } from "./aws-examination.js";
import { checkPersonal, checkPrivileges, checkSamePrincipal } from "./principal.js";
import { checkPush, checkReach } from "./repositories.js";

export type AwsDoctorDeps = { outbound: CloudOutbound; now: () => Date; provider: RegistryProvider<AwsEntry> };

/**
 * Amazon ECR: STS says whose keys they are, ECR whether it gives a password. Then, side by side: can a token be limited
 * to repositories, what can be pulled, could it push, is it an administrator.
 */
export function createAwsDoctor(deps: AwsDoctorDeps): RegistryDoctor<AwsEntry> {
  const outbound = onlyToHosts(deps.outbound, "AWS", isAwsServiceHost);
  const nowMs = () => deps.now().getTime();

  return {
    examine: async (examination) => {
      const identity = readAwsIdentity(examination);
      const registry = readEcrRegistry(examination);
      const place = placeOfRegistry(examination, registry);
      // How long a role's sessions may be is found out anew: a doctor's run is rare.
      const sts: Sts = { deps: { outbound, nowMs, knownDurations: new Map() }, request: examination, place };
      const one: AwsExamination = { examination, identity, sts, registry };
      const caller = await getCallerIdentity(sts, identity.keys);
      const whose = [...(await checkSamePrincipal(one, caller)), ...checkPersonal(caller.arn)];
      const { login, session } = await logIn(one);
      if (!session) return { principal: caller.arn, checks: [login, ...whose] };
      const rest = await Promise.all([
        checkNarrowing(deps.provider, one),
        checkReach(one, session),
        checkPush(one, session),
        checkPrivileges(one, caller, session),
      ]);
      return { principal: caller.arn, checks: [login, ...whose, ...rest.flat()] };
    },
  };
}

async function logIn({ examination, identity, sts, registry }: AwsExamination): Promise<{
  login: Check;
  session?: AwsSession;
}> {
  try {
    const session = await assumeRoles(sts, identity);
    const { outbound, nowMs } = sts.deps;
    if (registry?.public === true) await getEcrPublicPassword({ outbound, nowMs }, examination, session.keys);
    else await getEcrPassword({ outbound, nowMs }, examination, { ...sts.place, keys: session.keys });
    const roles = identity.roles.length === 0 ? "" : " The role of its profile can be assumed.";
    return { login: passed("login", `It logs in: STS knows the keys, and ECR gives a password.${roles}`), session };
  } catch (error) {
    return { login: checkOfFailure("login", error) };
  }
}

async function checkNarrowing(
  provider: RegistryProvider<AwsEntry>,
  { examination, registry }: AwsExamination,
): Promise<Check[]> {
  // Whoever wants to can pull from it: there is nothing to limit.
  if (registry?.public === true) return [];
  const repositories = examination.repositories ?? [nowhere];
  const look = async (): Promise<Check> => {
    try {
      await provider.mint({ ...examination, repositories, allowBroader: false, assert: assertNothing });
      return passed("narrowing", "Its tokens can be limited to repositories, by an IAM session policy.");
    } catch (error) {
      const isUnenforceable = error instanceof Problem && error.code === "scope-not-enforceable";
      if (isUnenforceable) return warned("narrowing", error.detail);
      throw error;
    }
  };
  return [await checkedBy("narrowing", look)];
}
