import { actorOf } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import { type OpenDeps, openSecretVersion } from "../open-secret.js";
import { changedMeanwhile } from "../plan-change.js";
import { type SecretsDeps, type Written, writeSecrets } from "../write-secrets.js";
import { checkPrecondition, noSecret, type VersionInput } from "./change-version.js";
import { findHead, findVersion } from "./store.js";

const maxAttempts = 20;

/**
 * Makes an older version the newest and current one. Its ciphertext is bound to its number, so it is opened and sealed
 * anew, outside of any transaction; the value does not leave this process. Where a further version was made in the meantime,
 * it looks again: the older one may be gone by now.
 * @throws Problem `not-found`, `precondition-failed`, `version-unsuitable` when it is destroyed, `secret-unreadable`,
 *   `conflict`; `forbidden` and `secret-in-use` when it may be delivered to jobs, as `writeSecrets`
 */
export async function restoreVersion(
  deps: SecretsDeps & OpenDeps,
  input: VersionInput & { version: number; allowUnusable: boolean },
): Promise<Written> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await restoreOnce(deps, input);
    } catch (error) {
      const isLost = error instanceof Problem && error.code === "conflict";
      if (!isLost || attempt === maxAttempts) throw error;
    }
  }
}

async function restoreOnce(
  deps: SecretsDeps & OpenDeps,
  input: VersionInput & { version: number; allowUnusable: boolean },
): Promise<Written> {
  const { factory, caller, name, version, precondition, requested, allowUnusable } = input;
  const head = await findHead(deps.prisma, factory.id, name);
  if (!head) throw noSecret(name);
  checkPrecondition(precondition, head.currentVersion);
  const row = await findVersion(deps.prisma, head.id, version);
  if (!row) throw new Problem("not-found", `There is no version ${version} of the secret "${name}".`);
  if (row.destroyedAt) {
    throw new Problem("version-unsuitable", `The value of version ${version} was destroyed for good.`);
  }
  const secret = { id: head.id, name, version };
  const value = await openSecretVersion(deps, { factory, actor: actorOf(caller), secret });
  if (!value) throw changedMeanwhile();
  try {
    const { id, nextVersion, destroyedVersions } = head;
    const seen = { id, nextVersion, destroyedVersions };
    const expiresAt = row.expiresAt?.toISOString();
    const { deliverToJobs } = row;
    const items = [{ op: "put", name, value, seen, restoredFrom: version, expiresAt, deliverToJobs } as const];
    const write = { factory, caller, items, precondition, allowUnusable, via: "api", requested } as const;
    const [written] = await writeSecrets(deps, write);
    if (!written) throw new Error("a write of one item has one outcome");
    return written;
  } finally {
    value.erase();
  }
}
