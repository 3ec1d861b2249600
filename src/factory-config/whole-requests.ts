import type { Invalid } from "../core/problem.js";
import type { RegistryEntry } from "./entry.js";
import { maxReported } from "./findings.js";
import type { LocatedEntry } from "./parse-document.js";

/**
 * A request that names no registry is answered for every entry or not at all. Remarks on the entries that keep the
 * others from being answered then; none where no other could be.
 */
export function remarkOnWholeRequests(entries: readonly LocatedEntry[]): Invalid[] {
  if (!entries.some(({ entry }) => whatIsMissing(entry) === undefined)) return [];
  const remarks = entries.flatMap(({ entry, at }) => {
    const missing = whatIsMissing(entry);
    return missing === undefined ? [] : [{ at, reason: reasonOf[missing] }];
  });
  return remarks.slice(0, maxReported);
}

type Missing = "host" | "repositories" | "repositories-or-tenant";

/** What a request must name to be given a token of this entry. */
function whatIsMissing(entry: RegistryEntry): Missing | undefined {
  switch (entry.type) {
    case "aws":
      return undefined;
    case "azure":
      // Its secret can name the tenant too, and is not opened for this.
      if (entry.tenantId === undefined) return "repositories-or-tenant";
      return entry.host === undefined ? "host" : undefined;
    case "gar":
      return entry.hosts.length === 0 ? "host" : undefined;
    case "generic":
      return entry.passThrough ? undefined : "repositories";
    default:
      return entry satisfies never;
  }
}

const fails = "a request that names no registry fails as a whole: this entry";
const others = 'and for the others by their own "registry", or with "allowPartial"';
const named = `gives tokens for named repositories only. Ask for them with "registry" and "repositories", ${others}`;

const reasonOf = {
  host: `Beside other entries ${fails} has no host. Ask with "registry": "<host>", ${others}; or give the entry its host.`,
  repositories: `Beside other entries ${fails} ${named}.`,
  "repositories-or-tenant": `Unless its secret names a tenant, ${fails} ${named}; or set azure_tenant_id in the entry.`,
} as const satisfies Record<Missing, string>;
