import { BlockList, isIP, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** What an address is counted as, or `undefined` for one that no limit is for. */
export type LimitedAddress = (address: string) => string | undefined;

/**
 * Says what addresses are counted as: IPv4 each for itself, IPv6 by its /64, which is what one subscriber has. The
 * address of a proxy is not counted: it is seen where the proxy names no one, and stands for everybody.
 * @param addresses - addresses and CIDRs of the proxies
 */
export function limitedAddress(addresses: readonly string[]): LimitedAddress {
  const proxies = new BlockList();
  for (const proxy of addresses) {
    const [address, bits] = ipaddr.isValidCIDR(proxy) ? ipaddr.parseCIDR(proxy) : [ipaddr.parse(proxy), undefined];
    if (bits === undefined) proxies.addAddress(address.toString(), address.kind());
    else proxies.addSubnet(address.toString(), bits, address.kind());
  }
  return (named) => {
    const given = withoutPort(named);
    if (isIP(given) === 0) return undefined;
    const address = isIPv6(given) ? ipaddr.process(given) : undefined;
    const text = address?.toString() ?? given;
    if (proxies.check(text, address?.kind() ?? "ipv4")) return undefined;
    return address instanceof ipaddr.IPv6
      ? `${address.parts
          .slice(0, 4)
          .map((part) => part.toString(16))
          .join(":")}::/64`
      : text;
  };
}

/** Some proxies write the port too: `203.0.113.7:51234`, `[2001:db8::7]:51234`. It is another one for each connection. */
function withoutPort(named: string): string {
  const [, inBrackets, plain] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(named) ?? [];
  return inBrackets ?? plain ?? named;
}
