import { awsRegionPattern } from "../../core/aws-partitions.js";
import { type EcrHost, ecrHost } from "../../core/cloud-hosts.js";
import { Problem } from "../../core/problem.js";
import type { AwsEntry } from "../../factory-config/entry.js";
import type { MintRequest, OpenedSecret } from "../provider.js";
import { type AwsIdentity, parseAwsCredentials, resolveAwsProfile } from "../secret-formats/aws-credentials.js";
import { type AwsSession, assumeRole, type Sts } from "./aws-sts.js";
import { secretMalformed } from "./upstream-reply.js";

type AwsRequest = MintRequest<AwsEntry>;

type Place = { region: string; isFips: boolean };

/** Reads the secret as a credentials file, and in it the profile that the entry names. @throws Problem `secret-malformed` */
export function readAwsIdentity(request: { entry: AwsEntry; secret: OpenedSecret }): AwsIdentity {
  const profiles = parseAwsCredentials(request.secret.value.revealText());
  if (!profiles.ok) throw secretMalformed(request, profiles.mistakes);
  const identity = resolveAwsProfile(profiles.value, request.entry.profile ?? "default");
  if (!identity.ok) throw secretMalformed(request, identity.mistakes);
  return identity.value;
}

/** The registry that is asked for, if a host says which. @throws Problem `destination-refused` when AWS has no such host */
export function readEcrRegistry(request: Pick<AwsRequest, "host">): EcrHost | undefined {
  if (request.host === undefined) return undefined;
  const registry = ecrHost(request.host);
  if (registry !== undefined) return registry;
  throw new Problem(
    "destination-refused",
    `${request.host} is not a registry of AWS, so no AWS credential is used for it.`,
  );
}

/** The region whose STS and ECR are asked. @throws Problem `destination-refused` when it is not one of AWS */
export function placeOfRegistry(request: Pick<AwsRequest, "entry">, registry: EcrHost | undefined): Place {
  if (registry?.public === true) return { region: "us-east-1", isFips: false };
  const place = { region: registry?.region ?? request.entry.region, isFips: registry?.fips ?? false };
  if (awsRegionPattern.test(place.region)) return place;
  throw new Problem("destination-refused", `The region of registry entry "${request.entry.id}" is not one of AWS.`);
}

/** Assumes the roles one after the other; the policy limits the last session. Without roles the keys are the session. */
export async function assumeRoles(sts: Sts, identity: AwsIdentity, policy?: string): Promise<AwsSession> {
  let session: AwsSession = { keys: identity.keys };
  for (const [index, role] of identity.roles.entries()) {
    const isLast = index === identity.roles.length - 1;
    session = await assumeRole(sts, session.keys, role, {
      isChained: index > 0,
      ...(isLast && policy !== undefined ? { policy } : {}),
    });
  }
  return session;
}
