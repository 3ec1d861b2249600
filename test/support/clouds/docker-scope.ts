/** One granted or wanted access, as the Docker token specification writes it in a token's `access` claim. */
export type ScopeAccess = { type: string; name: string; actions: readonly string[] };

/**
 * Reads `repository:<name>:<action>,<action>`; several may stand in one value with spaces between, or be repeated.
 * `undefined` for anything that does not follow the grammar.
 * Source: distribution documentation, "Token Scope Documentation".
 */
export function parseScopes(values: readonly string[]): ScopeAccess[] | undefined {
  const scopes: ScopeAccess[] = [];
  for (const scope of values.flatMap((value) => value.split(" ")).filter((text) => text !== "")) {
    const parts = /^([a-z]+):([^\s]+):([a-z*]+(?:,[a-z*]+)*)$/.exec(scope);
    if (parts === null) return undefined;
    const [, type = "", name = "", actions = ""] = parts;
    scopes.push({ type, name, actions: actions.split(",") });
  }
  return scopes;
}

/** What remains of the wanted scopes under rights by repository name, where `*` is every repository. */
export function grantScopes(
  wanted: readonly ScopeAccess[],
  rights: Readonly<Record<string, readonly string[]>>,
): ScopeAccess[] {
  return wanted
    .filter((scope) => scope.type === "repository")
    .map((scope) => {
      const allowed = rights[scope.name] ?? rights["*"] ?? [];
      return { ...scope, actions: scope.actions.filter((action) => allowed.includes(action)) };
    })
    .filter((scope) => scope.actions.length > 0);
}
