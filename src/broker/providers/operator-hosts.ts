import { normaliseHost } from "../../core/normalise-host.js";
import { type AllowedRealm, apiHostOf } from "./token-realm.js";

/**
 * Reads the operator's list of realms on another host than their registry: `REGISTRY=REALM,...`, host names without
 * port. Every mistake is a sentence about one item; items without one are in `realms`.
 */
export function parseAllowedRealms(text: string): { realms: AllowedRealm[]; mistakes: string[] } {
  const realms: AllowedRealm[] = [];
  const mistakes: string[] = [];
  for (const item of itemsOf(text)) {
    const sides = item.split("=").map((side) => normaliseHost(side.trim()));
    const [registry, realm] = sides;
    if (sides.length !== 2 || !registry?.ok || !realm?.ok || /:/.test(registry.host + realm.host)) {
      mistakes.push(`"${item}" is not REGISTRY=REALM, two host names such as registry.example.com=auth.example.com.`);
      continue;
    }
    realms.push({ registryHost: apiHostOf(registry.host), realmHost: realm.host });
  }
  return { realms, mistakes };
}

/** Reads the operator's list of registry hosts whose stored credential an entry may pass on: `HOST[:PORT],...`. */
export function parsePassThroughHosts(text: string): { hosts: string[]; mistakes: string[] } {
  const hosts: string[] = [];
  const mistakes: string[] = [];
  for (const item of itemsOf(text)) {
    const host = normaliseHost(item);
    if (host.ok) hosts.push(host.host);
    else mistakes.push(`"${item}" is not a registry host such as registry.example.com:5000. ${host.reason}`);
  }
  return { hosts, mistakes };
}

function itemsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((item) => item !== "");
}
