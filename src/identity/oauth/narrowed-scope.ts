import { isPermission, type Permission } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";

/**
 * What a session may do: what is asked for in `scope` (RFC 6749, section 3.3), or all that there is.
 * @throws Problem `invalid-scope` for anything that is not held; never given silently with less than was asked for
 */
export function narrowedScope(scope: string | undefined, held: readonly Permission[]): readonly Permission[] {
  if (scope === undefined) return held;
  const asked = new Set(scope.split(" "));
  const given = held.filter((permission) => asked.has(permission));
  if (given.length === asked.size && given.length > 0) return given;
  throw new Problem(
    "invalid-scope",
    `scope may name permissions that the client has, with one blank between.${whatIsWrong([...asked], held)}`,
  );
}

// Only what has the shape of a permission is quoted: anything else may be a secret in the wrong field.
function whatIsWrong(asked: readonly string[], held: readonly Permission[]): string {
  const lacking = asked.filter(isPermission).filter((permission) => !held.includes(permission));
  const unknown = asked.filter((name) => !isPermission(name) && /^[a-z-]{1,40}:[a-z-]{1,40}$/.test(name));
  const parts = [
    ...(lacking.length > 0 ? [` It lacks ${lacking.join(", ")}.`] : []),
    ...(unknown.length > 0 ? [` There is no permission ${unknown.slice(0, 3).join(", ")}.`] : []),
  ];
  return parts.join("");
}
