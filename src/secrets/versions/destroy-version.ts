import { Problem } from "../../core/problem.js";
import { changeVersion, type VersionDeps, type VersionInput } from "./change-version.js";
import { emptyVersion, findVersion, type HeldSecret } from "./store.js";

/**
 * Destroys the value of one version for good: ciphertext and fingerprint are emptied, the number stays. Of one that is
 * destroyed already nothing changes.
 * @param input.forced - also the previous version while its grace time runs
 * @throws Problem `not-found`, `precondition-failed`, `secret-in-use` for the current version, and for the previous one
 *   while its grace time runs
 */
export function destroyVersion(
  deps: VersionDeps,
  input: VersionInput & { version: number; forced: boolean },
): Promise<void> {
  const { name, version, forced } = input;
  return changeVersion(deps, input, async (transaction, secret, at) => {
    const row = await findVersion(transaction, secret.id, version);
    if (!row) throw new Problem("not-found", `There is no version ${version} of the secret "${name}".`);
    if (version === secret.currentVersion) throw isCurrent(version);
    const until = version === secret.previousVersion ? graceEnd(secret) : undefined;
    const isKept = until !== undefined && at < until && !row.destroyedAt;
    if (isKept && !forced) throw inGraceTime(version, until);
    if (!row.destroyedAt) await emptyVersion(transaction, secret.id, version, at);
    return {
      event: {
        action: "secret.version-destroyed",
        secret: name,
        secretVersion: version,
        ...(isKept && { forced: true as const }),
      },
      changesCurrent: false,
      result: undefined,
    };
  });
}

/** When the grace time of the previous version ends, if it is known when the current one took its place. */
export function graceEnd(secret: Pick<HeldSecret, "currentSince" | "graceSeconds">): Date | undefined {
  return secret.currentSince ? new Date(secret.currentSince.getTime() + secret.graceSeconds * 1000) : undefined;
}

const isCurrent = (version: number): Problem =>
  new Problem(
    "secret-in-use",
    `Version ${version} is the current one. Make another one current first, or delete the secret with purge=true.`,
  );

const inGraceTime = (version: number, until: Date): Problem =>
  new Problem(
    "secret-in-use",
    `Version ${version} was current until a moment ago and can be rolled back to until ${until.toISOString()}. Wait, or destroy it now with force=true.`,
  );
