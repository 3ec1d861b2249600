import { isIP } from "node:net";
import type { Invalid } from "../core/problem.js";
import { type AddressRange, isInRanges, isNeverAllowedAddress } from "../outbound/addresses.js";
import type { ConnectToRule } from "../outbound/connect-to.js";
import type { GenericEntry } from "./entry.js";
import { maxReported } from "./findings.js";
import type { LocatedEntry } from "./parse-document.js";

/** The operator's settings that decide whether a host may be called, and whether its credential may be handed out. */
export type CallSettings = {
  passThroughHosts: readonly string[];
  outbound: { allowAddresses: readonly AddressRange[]; connectTo: readonly ConnectToRule[] };
};

/** Remarks on entries that the settings of this installation keep from working, as far as their hosts alone tell. */
export function remarkOnSettings(entries: readonly LocatedEntry[], settings: CallSettings): Invalid[] {
  const remarks = entries.flatMap(({ entry, at }) => {
    const reason = entry.type === "generic" ? remarkOnEntry(entry, settings) : undefined;
    return reason === undefined ? [] : [{ at, reason }];
  });
  return remarks.slice(0, maxReported);
}

function remarkOnEntry({ host, passThrough }: GenericEntry, settings: CallSettings): string | undefined {
  // The stored credential is handed out, and nothing is called.
  if (!passThrough) return remarkOnAddress(host, settings.outbound);
  if (settings.passThroughHosts.includes(host)) return undefined;
  return `passThrough is not allowed for ${host}, so jobs get no token by this entry. An operator can allow it: FACTORY_SECRETS_PASS_THROUGH_HOSTS=${host}`;
}

/** What the guard of outbound calls says of an address, or of a name that is one by its meaning. */
function remarkOnAddress(host: string, { allowAddresses, connectTo }: CallSettings["outbound"]): string | undefined {
  const [name = "", port = "443"] = host.split(":");
  const isLocal = name === "localhost" || name.endsWith(".localhost");
  if (isIP(name) === 0 && !isLocal) return undefined;
  if (connectTo.some(({ from }) => from.host === name && from.port === Number(port))) return undefined;
  if (isNeverAllowedAddress(name)) {
    return "This address is link-local, multicast or one of a metadata service. The service never calls it.";
  }
  if (isInRanges(isLocal ? "127.0.0.1" : name, allowAddresses)) return undefined;
  const what = isLocal ? "This name stands for the machine that the service runs on" : "This is an address, not a name";
  const allowed = isLocal ? "127.0.0.0/8" : name;
  return `${what}. The service calls it only if an operator allows that: FACTORY_SECRETS_ALLOW_ADDRESSES=${allowed}`;
}
