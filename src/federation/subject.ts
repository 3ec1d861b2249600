/** The issuer of a factory. `base` is the public URL, without a slash at its end. */
export function issuerOf(base: string, factoryId: string): string {
  return `${base}/federation/${factoryId}`;
}

/**
 * The `sub` by which a cloud knows one entry of one factory: both of its parts never change for as long as it exists, and
 * neither has a `*` or `?`, which patterns of trust policies give a meaning. 51 characters and the entry's id, of which
 * `maxKeylessIdLength` makes 127 at most.
 */
export function subjectOf(factoryId: string, entryId: string): string {
  return `factory:${factoryId}:entry:${entryId}`;
}
