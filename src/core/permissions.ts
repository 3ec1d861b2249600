/** What a factory's credential may be allowed to do. Operators hold all of them in every factory. */
export const permissions = [
  "secrets:list",
  "secrets:write",
  "secrets:deliver",
  "config:read",
  "config:write",
  "jobs:create",
  "registry-tokens:issue",
  "audit:read",
  "access:read",
  "access:write",
] as const;

export type Permission = (typeof permissions)[number];

export const roleNames = ["admin", "operator", "developer", "ci", "auditor"] as const;

export type Role = (typeof roleNames)[number];

/** Names for what people usually need. A role is given as the permissions that it has on that day. */
export const roles = {
  admin: permissions,
  operator: [
    "secrets:list",
    "secrets:write",
    "secrets:deliver",
    "config:read",
    "config:write",
    "jobs:create",
    "registry-tokens:issue",
    "audit:read",
  ],
  developer: ["secrets:list", "config:read", "registry-tokens:issue"],
  ci: ["jobs:create", "registry-tokens:issue"],
  auditor: ["secrets:list", "config:read", "audit:read", "access:read"],
} as const satisfies Record<Role, readonly Permission[]>;

const known: ReadonlySet<string> = new Set(permissions);

export function isPermission(text: string): text is Permission {
  return known.has(text);
}

export function isRole(text: string): text is Role {
  return Object.hasOwn(roles, text);
}
