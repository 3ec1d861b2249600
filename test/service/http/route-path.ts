import type { Method, Route } from "../../../src/http/route.js";

type Walked = Pick<Route<never>, "method" | "path" | "params" | "id">;

// One of these is valid for every kind of parameter: an id, a version, a name, a host.
const candidates = ["3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d", "1", "some-name", "kek-4375120f5e63bc39"];

/**
 * A path of this route in which every parameter is one that its declaration takes, so that nothing but the caller
 * can be wrong with it.
 * @throws when a route has a kind of parameter that no candidate fits: add one, rather than leave the route out
 */
export function pathOfRoute(route: Walked, factory: string): string {
  const names = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
  for (const candidate of candidates) {
    const values = new Map(names.map((name) => [name, name === "factory" ? factory : candidate]));
    if (route.params && !route.params.safeParse(Object.fromEntries(values)).success) continue;
    return route.path.replace(/\{(\w+)\}/g, (_, name: string) => values.get(name) ?? "");
  }
  throw new Error(`no candidate fits the parameters of ${route.id}`);
}

/** A path of this operation of the relay, for an image of the factory. */
export function pathOfOperation(path: string, factory: string): string {
  const digest = `sha256:${"a".repeat(64)}`;
  return path.replace("{name}", `${factory}/ghcr.io/acme/app`).replace("{reference}", "1").replace("{digest}", digest);
}

/** Every route, as one line for a table of tests. */
export function titleOfRoute(route: { method: Method; path: string }): string {
  return `${route.method.toUpperCase()} ${route.path}`;
}
