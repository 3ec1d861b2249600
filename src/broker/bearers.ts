import { Problem } from "../core/problem.js";
import type { Demand } from "./decide-demands.js";

/** The formats that have no place for a bearer: who would read it there, and who can elsewhere. */
const bearerless = {
  login: {
    client: "docker login",
    way: 'docker, BuildKit, buildx and crane read it from a config.json: ask with "format": "docker-config".',
  },
  "kubernetes-secret": {
    client: "the kubelet",
    way: 'skopeo (--registry-token), docker, buildx and crane can: ask with "format": "docker-config".',
  },
  "ci-scripts": {
    client: "ci-scripts",
    way: "Give the azure entry its azure_tenant_id, or ask the operator for pass-through.",
  },
} as const;

export type BearerlessFormat = keyof typeof bearerless;

export function bearerRefused(format: BearerlessFormat, registry: string): Problem {
  const { client, way } = bearerless[format];
  const what = `${registry} gives a bearer, which is no password and which ${client} cannot carry.`;
  return new Problem("not-representable", `${what} ${way}`);
}

/** Why a format cannot carry what a demand would be given, told before anything is opened. `undefined` when it can. */
export function unfitFor(format: string): ((demand: Demand) => Problem | undefined) | undefined {
  if (!isBearerless(format)) return undefined;
  return (demand) => (givesBearer(demand) ? bearerRefused(format, demand.host ?? demand.entry.id) : undefined);
}

const isBearerless = (format: string): format is BearerlessFormat => Object.hasOwn(bearerless, format);

/** Without repositories a registry that would give a bearer gives nothing, and says so itself. */
function givesBearer({ entry, repositories }: Demand): boolean {
  switch (entry.type) {
    case "aws":
    case "gar":
      return false;
    case "azure":
      // With a tenant and without: only a token for everything is a password.
      return repositories !== undefined;
    case "generic":
      return repositories !== undefined && !entry.passThrough;
    default:
      return entry satisfies never;
  }
}
