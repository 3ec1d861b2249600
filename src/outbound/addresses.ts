import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** One network that the operator permits besides the public internet. */
export type AddressRange = { text: string; base: Address; prefixBits: number };

// Metadata services and platform agents hand out credentials or accept commands without asking who calls.
// Anyone who needs one of these for a registry has a different problem: no setting opens them.
const neverRanges = [
  "0.0.0.0/8",
  "169.254.0.0/16", // link-local: AWS, Azure, GCP, DigitalOcean metadata, ECS task credentials
  "100.100.100.200/32", // Alibaba Cloud metadata
  "168.63.129.16/32", // Azure platform agent, although the address looks public
  "192.0.0.192/32", // Oracle Cloud metadata, older form
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/128",
  "fe80::/10",
  "ff00::/8",
  "fd00:ec2::/32", // AWS metadata, DNS and time over IPv6
  "fd20:ce::254/128", // GCP metadata over IPv6
].map(rangeOf);

const globalUnicastIpv6 = rangeOf("2000::/3");

/**
 * Says why a resolved address may not be called, or `undefined` when it may: public unicast always, anything else only
 * inside one of `allowed`, link-local and metadata addresses never. An IPv4 address inside an IPv6 one (mapped, NAT64,
 * 6to4, Teredo) is judged as well, because a gateway unwraps it behind our back.
 */
export function refusalOfAddress(address: string, allowed: readonly AddressRange[]): string | undefined {
  if (!ipaddr.isValid(address)) return "is not an address";
  // A zone id (`fe80::1%eth0`) only exists for link-local addresses; `parse` keeps it and `match` ignores it.
  const parsed = ipaddr.parse(address);
  if (isNeverAllowed(parsed)) return "is a link-local, metadata, multicast or unspecified address";
  for (const inner of embeddedIpv4(parsed)) {
    const refusal = refusalOfAddress(inner.toString(), allowed);
    if (refusal !== undefined) return `holds ${inner.toString()}, which ${refusal}`;
  }
  if (allowed.some((range) => contains(range, parsed))) return undefined;
  return isPublic(parsed) ? undefined : `is not a public address (${rangeName(parsed)})`;
}

/** Says whether the operator named the address, or a network that it is in. */
export function isInRanges(address: string, ranges: readonly AddressRange[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  return ranges.some((range) => contains(range, parsed));
}

/** Says whether the address is refused whatever the operator permits. */
export function isNeverAllowedAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  return isNeverAllowed(parsed) || embeddedIpv4(parsed).some(isNeverAllowed);
}

/**
 * Reads `FACTORY_SECRETS_ALLOW_ADDRESSES`: CIDRs (or single addresses) separated by commas.
 * Every mistake is a sentence about one item; items without one are in `ranges`.
 */
export function parseAddressRanges(text: string): { ranges: AddressRange[]; mistakes: string[] } {
  const ranges: AddressRange[] = [];
  const mistakes: string[] = [];
  for (const item of text.split(/[\s,]+/).filter((part) => part !== "")) {
    const mistake = mistakeInRange(item);
    if (mistake === undefined) ranges.push(rangeOf(item));
    else mistakes.push(mistake);
  }
  return { ranges, mistakes };
}

function mistakeInRange(item: string): string | undefined {
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(item) || ipaddr.IPv6.isValid(item);
  if (!isAddress && !ipaddr.isValidCIDR(item)) return `"${item}" is not a CIDR such as 10.20.0.0/16 or fd12:3456::/32.`;
  const range = rangeOf(item);
  if (range.base instanceof ipaddr.IPv6 && range.base.isIPv4MappedAddress()) {
    return `"${item}" is an IPv4 network in IPv6 clothes: write the IPv4 network.`;
  }
  const network = networkAddress(range);
  if (network !== range.base.toString()) {
    return `"${item}" has bits set beyond its prefix: did you mean ${network}/${range.prefixBits}?`;
  }
  if (neverRanges.some((never) => contains(never, range.base) && range.prefixBits >= never.prefixBits)) {
    return `"${item}" cannot be allowed: link-local, metadata and multicast addresses stay refused.`;
  }
  return undefined;
}

function rangeOf(text: string): AddressRange {
  if (text.includes("/")) {
    const [base, prefixBits] = ipaddr.parseCIDR(text);
    return { text, base, prefixBits };
  }
  const base = ipaddr.parse(text);
  return { text, base, prefixBits: base.kind() === "ipv4" ? 32 : 128 };
}

function networkAddress(range: AddressRange): string {
  const cidr = `${range.base.toString()}/${range.prefixBits}`;
  const network =
    range.base.kind() === "ipv4" ? ipaddr.IPv4.networkAddressFromCIDR(cidr) : ipaddr.IPv6.networkAddressFromCIDR(cidr);
  return network.toString();
}

function contains(range: AddressRange, address: Address): boolean {
  return range.base.kind() === address.kind() && address.match(range.base, range.prefixBits);
}

function isNeverAllowed(address: Address): boolean {
  return neverRanges.some((range) => contains(range, address));
}

function isPublic(address: Address): boolean {
  if (address.range() !== "unicast") return false;
  return address instanceof ipaddr.IPv4 || contains(globalUnicastIpv6, address);
}

function rangeName(address: Address): string {
  const name: string = address.range();
  return name === "unicast" ? "unassigned" : name;
}

// The forms of RFC 4291 (mapped, compatible), 6052 (NAT64), 6145, 3056 (6to4) and 4380 (Teredo).
function embeddedIpv4(address: Address): ipaddr.IPv4[] {
  if (address instanceof ipaddr.IPv4) return [];
  const bytes = address.toByteArray();
  const last = new ipaddr.IPv4(bytes.slice(12, 16));
  const startsWith = (...prefix: number[]) => prefix.every((byte, index) => bytes[index] === byte);
  if (startsWith(0x20, 0x02)) return [new ipaddr.IPv4(bytes.slice(2, 6))];
  if (startsWith(0x20, 0x01, 0, 0)) return [new ipaddr.IPv4(bytes.slice(12, 16).map((byte) => byte ^ 0xff))];
  if (startsWith(0, 0x64, 0xff, 0x9b, 0, 1)) {
    return [last, new ipaddr.IPv4([...bytes.slice(6, 8), ...bytes.slice(9, 11)])];
  }
  if (startsWith(0, 0x64, 0xff, 0x9b)) return [last];
  const isLow = bytes.slice(0, 8).every((byte) => byte === 0);
  // `::1` and `::` are addresses of their own, not 0.0.0.1 and 0.0.0.0.
  const isCompatible = bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 15).some((byte) => byte !== 0);
  const hasMarker = bytes[8] === 0xff || bytes[10] === 0xff;
  return isCompatible || (isLow && hasMarker) ? [last] : [];
}
