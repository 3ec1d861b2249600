import { Problem } from "../../http/problem.js";
import { actorOf } from "../../identity/caller.js";
import { type OpenDeps, openSecretVersion } from "../open-secret.js";
import { type SecretsDeps, type Written, writeSecrets } from "../write-secrets.js";
import { checkPrecondition, noSecret, type VersionInput } from "./change-version.js";
import { findHead, findVersion } from "./store.js";

/**
 * Makes an older version the newest and current one. Its ciphertext is bound to its number, so it is opened and sealed
 * anew, outside of any transaction; the value does not leave this process.
 * @throws Problem `not-found`, `precondition-failed`, `version-unsuitable` when it is destroyed, `secret-unreadable`
 */
export async function restoreVersion(
  deps: SecretsDeps & OpenDeps,
  input: VersionInput & { version: number },
): Promise<Written> {
  const { factory, caller, name, version, precondition, requested } = input;
  const head = await findHead(deps.prisma, factory.id, name);
  if (!head) throw noSecret(name);
  checkPrecondition(precondition, head.currentVersion);
  const row = await findVersion(deps.prisma, head.id, version);
  if (!row) throw new Problem("not-found", `There is no version ${version} of the secret "${name}".`);
  const value = row.destroyedAt
    ? undefined
    : await openSecretVersion(deps, { factory, actor: actorOf(caller), secret: { id: head.id, name, version } });
  if (!value) throw new Problem("version-unsuitable", `The value of version ${version} was destroyed for good.`);
  try {
    const item = { op: "put", name, value, restoredFrom: version, expiresAt: row.expiresAt?.toISOString() } as const;
    // Without a condition of the caller's: the secret must still be there, or this would make a new one of its name.
    const held = precondition ?? "present";
    const [written] = await writeSecrets(deps, {
      ...{ factory, caller, requested },
      items: [item],
      precondition: held,
      via: "api",
    });
    if (!written) throw new Error("a write of one item has one outcome");
    return written;
  } finally {
    value.erase();
  }
}
