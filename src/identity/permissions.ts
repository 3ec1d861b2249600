/** What a factory's credential may be allowed to do. Operators hold all of them in every factory. */
export const permissions = [
  "secrets:list",
  "secrets:write",
  "config:read",
  "config:write",
  "jobs:create",
  "registry-tokens:issue",
  "audit:read",
  "access:read",
  "access:write",
] as const;

export type Permission = (typeof permissions)[number];

const known: ReadonlySet<string> = new Set(permissions);

export function isPermission(text: string): text is Permission {
  return known.has(text);
}
