import type { Caller } from "../../core/caller.js";
import { type Permission, roles as permissionsOfRoles, type Role } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";

/** What a new credential is given: all its permissions, each once, and the roles that some of them were asked for as. */
export type Granted = { permissions: readonly Permission[]; roles: readonly Role[] };

/**
 * What a credential that is asked for in permissions, in roles or in both may have. A role counts as what it holds
 * today: a later release that adds to it gives nothing to those who hold it already.
 * @throws Problem `invalid-request` when neither is named; `forbidden` for anything that the maker lacks
 */
export function grantedPermissions(
  maker: Pick<Caller, "permissions" | "grants">,
  asked: { permissions?: readonly Permission[] | undefined; roles?: readonly Role[] | undefined },
): Granted {
  const roles = [...new Set(asked.roles)];
  const permissions = [
    ...new Set([...(asked.permissions ?? []), ...roles.flatMap((role) => [...permissionsOfRoles[role]])]),
  ];
  if (permissions.length === 0) throw nothingAsked();
  const beyond = permissions.filter((permission) => !maker.permissions.has(permission));
  if (beyond.length > 0) {
    throw new Problem(
      "forbidden",
      `A token never grants more than its maker has: this credential lacks ${beyond.join(", ")}.`,
    );
  }
  // What is made here has no grants, and so reaches every registry.
  if (maker.grants) throw new Problem("forbidden", "A credential that is limited by grants makes no other.");
  return { permissions, roles };
}

function nothingAsked(): Problem {
  const reason = "must have permissions, roles or both";
  return new Problem("invalid-request", `the body: ${reason}`, { invalid: [{ at: "", reason }] });
}
