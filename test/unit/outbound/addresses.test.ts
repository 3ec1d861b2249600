import { describe, expect, it } from "vitest";
import { isNeverAllowedAddress, parseAddressRanges, refusalOfAddress } from "../../../src/outbound/addresses.js";

const refused = [
  ["10.1.2.3", "private"],
  ["172.16.0.1", "private"],
  ["192.168.0.1", "private"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["100.64.0.1", "carrier-grade NAT"],
  ["192.0.2.1", "documentation"],
  ["198.18.0.1", "benchmarking"],
  ["240.0.0.1", "reserved"],
  ["0.0.0.0", "unspecified"],
  ["0.1.2.3", "this network"],
  ["255.255.255.255", "broadcast"],
  ["224.0.0.251", "multicast"],
  ["169.254.169.254", "metadata"],
  ["169.254.170.2", "container credentials"],
  ["100.100.100.200", "metadata of Alibaba Cloud"],
  ["168.63.129.16", "Azure's platform agent"],
  ["::1", "loopback"],
  ["::", "unspecified"],
  ["fe80::1", "link-local"],
  ["fe80::1%eth0", "link-local with a zone"],
  ["fec0::1", "site-local"],
  ["fc00::1", "unique local"],
  ["fd00:ec2::254", "metadata over IPv6"],
  ["fd20:ce::254", "metadata of GCP over IPv6"],
  ["ff02::1", "multicast"],
  ["::ffff:127.0.0.1", "mapped loopback"],
  ["::ffff:8.8.8.8", "mapped public"],
  ["::ffff:a9fe:a9fe", "mapped metadata"],
  ["::127.0.0.1", "compatible loopback"],
  ["::ffff:0:7f00:1", "translated loopback"],
  ["64:ff9b::a9fe:a9fe", "metadata behind NAT64"],
  ["64:ff9b::808:808", "public behind NAT64"],
  ["64:ff9b:1::7f00:1", "loopback behind a local NAT64"],
  ["2002:7f00:1::", "6to4 of loopback"],
  ["2002:a9fe:a9fe::1", "6to4 of metadata"],
  ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"],
  ["2001:db8::1", "documentation"],
  ["100::1", "discard"],
  ["4000::1", "unassigned"],
  ["not an address", "garbage"],
] as const;

describe("refusalOfAddress", () => {
  it.each(refused)("refuses %s (%s)", (address) => {
    expect(refusalOfAddress(address, [])).toBeTypeOf("string");
  });

  it.each(["8.8.8.8", "52.95.110.1", "2606:4700:4700::1111", "2a00:1450:4001::200e"])("allows %s", (address) => {
    expect(refusalOfAddress(address, [])).toBeUndefined();
  });

  it("allows a private address that the operator named, and no other", () => {
    const { ranges } = parseAddressRanges("10.20.0.0/16, fd12:3456::/32");
    expect(refusalOfAddress("10.20.255.1", ranges)).toBeUndefined();
    expect(refusalOfAddress("fd12:3456::1", ranges)).toBeUndefined();
    expect(refusalOfAddress("10.21.0.1", ranges)).toBeTypeOf("string");
    expect(refusalOfAddress("::ffff:10.20.0.1", ranges)).toBeTypeOf("string");
  });

  it.each(["169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254", "224.0.0.1"])(
    "refuses %s although the operator permits everything",
    (address) => {
      const { ranges, mistakes } = parseAddressRanges("0.0.0.0/0,::/0");
      expect(mistakes).toEqual([]);
      expect(refusalOfAddress(address, ranges)).toBeTypeOf("string");
      expect(isNeverAllowedAddress(address)).toBe(true);
    },
  );

  it("judges the address behind a NAT64 prefix that the operator permits", () => {
    const { ranges } = parseAddressRanges("64:ff9b::/96");
    expect(refusalOfAddress("64:ff9b::808:808", ranges)).toBeUndefined();
    expect(refusalOfAddress("64:ff9b::a00:1", ranges)).toBeTypeOf("string");
    expect(refusalOfAddress("64:ff9b::a9fe:a9fe", ranges)).toBeTypeOf("string");
  });
});

describe("parseAddressRanges", () => {
  it.each([
    ["10.0.0.0/33", "not a CIDR"],
    ["example.com", "not a CIDR"],
    ["10.0.0.1/8", "did you mean 10.0.0.0/8"],
    ["169.254.0.0/16", "stay refused"],
    ["169.254.169.254", "stay refused"],
    ["fd00:ec2::254/128", "stay refused"],
    ["::ffff:10.0.0.0/104", "write the IPv4 network"],
    ["127.1", "not a CIDR"],
  ])("says what is wrong with %s", (text, sentence) => {
    const { ranges, mistakes } = parseAddressRanges(text);
    expect(ranges).toEqual([]);
    expect(mistakes).toEqual([expect.stringContaining(sentence)]);
  });

  it("takes single addresses and white space, and reports every mistake", () => {
    const { ranges, mistakes } = parseAddressRanges(" 10.0.0.0/8 , 192.168.1.5\n fd00::/8, x, y ");
    expect(ranges.map((range) => `${range.text} ${range.prefixBits}`)).toEqual([
      "10.0.0.0/8 8",
      "192.168.1.5 32",
      "fd00::/8 8",
    ]);
    expect(mistakes).toHaveLength(2);
  });
});
