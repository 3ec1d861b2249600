import type { GarEntry } from "../../../factory-config/entry.js";
import { type CloudOutbound, onlyToHosts } from "../../providers/cloud-hosts.js";
import { readGarHost, readOnlyScope } from "../../providers/gar.js";
import {
  artifactRegistryHost,
  readOnlyPlatformScope,
  readTokenInfo,
  resourceManagerHost,
} from "../../providers/google-permissions.js";
import { getGoogleToken, googleTokenHost } from "../../providers/google-token.js";
import { secretMalformed } from "../../providers/upstream-reply.js";
import { type GoogleServiceAccount, parseGoogleServiceAccount } from "../../secret-formats/google-service-account.js";
import { type Check, checkedBy, checkOfFailure, passed, unknown, warned } from "../check.js";
import type { RegistryDoctor } from "../registry-doctor.js";
import { checkRights } from "./rights.js";

const ownHosts: ReadonlySet<string> = new Set([googleTokenHost, resourceManagerHost, artifactRegistryHost]);

/**
 * Google Artifact Registry. The account's key buys the token that a job would get; with another one, which can read and
 * change nothing, Google is asked which permissions the account holds.
 */
export function createGarDoctor(deps: { outbound: CloudOutbound; now: () => Date }): RegistryDoctor<GarEntry> {
  const outbound = onlyToHosts(deps.outbound, "Google", (host) => ownHosts.has(host));
  const { now } = deps;

  return {
    examine: async (examination) => {
      const { signal, current, secret } = examination;
      const host = readGarHost(examination);
      const account = parseGoogleServiceAccount(secret.value.revealText());
      if (!account.ok) throw secretMalformed(examination, account.mistakes);
      const { accessToken } = await getGoogleToken({ outbound, now }, examination, account.value, readOnlyScope);
      const login = passed("login", "Google takes the key and gives an access token.");
      const way = { outbound, now, signal };
      const rights = async (): Promise<Check[]> => {
        const forAsking = await getGoogleToken({ outbound, now }, examination, account.value, readOnlyPlatformScope);
        return checkRights(way, forAsking.accessToken, { host, account: account.value, examination });
      };
      const [info, checks] = await Promise.all([
        checkToken(way, accessToken),
        rights().catch((error: unknown) => [{ ...checkOfFailure("reach", error), outcome: "unknown" as const }]),
      ]);
      const same = current === undefined ? [] : [sameAccount(account.value, current.revealText())];
      return {
        ...(info.email !== undefined && { principal: info.email }),
        checks: [login, ...same, info.check, ...checks],
      };
    },
  };
}

/** What a job's token may do, whatever the account may. */
async function checkToken(
  way: Parameters<typeof readTokenInfo>[0],
  accessToken: string,
): Promise<{ check: Check; email?: string | undefined }> {
  let email: string | undefined;
  const check = await checkedBy("narrowing", async () => {
    const info = await readTokenInfo(way, googleTokenHost, accessToken);
    email = info?.email;
    if (info === undefined) return unknown("narrowing", "Google does not say what its tokens are limited to.");
    const isReadOnly = info.scopes.every((scope) => scope === readOnlyScope);
    if (isReadOnly) {
      return passed(
        "narrowing",
        "A job's token may read from storage and do nothing else, whatever the account may. It is not limited to repositories: Google has no such token.",
      );
    }
    return warned("narrowing", "A job's token has further scopes than reading from storage. Tell whoever runs this.");
  });
  return { check, email };
}

/** An account's e-mail names its project after the `@`. */
function sameAccount({ clientEmail }: GoogleServiceAccount, currentText: string): Check {
  const current = parseGoogleServiceAccount(currentText);
  if (!current.ok) {
    return unknown("same-principal", "The current version cannot be read, so there is nothing to compare with.");
  }
  const then = current.value.clientEmail;
  if (then === clientEmail) return passed("same-principal", "It is the service account of the current version.");
  if (then.split("@")[1] === clientEmail.split("@")[1]) {
    return passed("same-principal", "It is another service account of the same project.");
  }
  return warned("same-principal", "It is a service account of another project. Check that the repositories let it in.");
}
