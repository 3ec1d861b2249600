import { describe, expect, it } from "vitest";
import { parseCaCertificates } from "../../../src/outbound/certificate-authorities.js";
import { parseConnectTo } from "../../../src/outbound/connect-to.js";
import { describeOutbound, outboundDefaults } from "../../../src/outbound/outbound.js";
import { parseProxyUrl } from "../../../src/outbound/proxy.js";
import { testAuthority } from "./tls-server.js";

describe("parseConnectTo", () => {
  it("reads names, addresses and IPv6 in brackets", () => {
    const { rules, mistakes } = parseConnectTo(
      "Registry.Example.com.:443=127.0.0.1:8443, [2001:db8::1]:443=[::1]:9443,",
    );
    expect(mistakes).toEqual([]);
    expect(rules).toEqual([
      { from: { host: "registry.example.com", port: 443 }, to: { host: "127.0.0.1", port: 8443 } },
      { from: { host: "2001:db8::1", port: 443 }, to: { host: "::1", port: 9443 } },
    ]);
  });

  it.each([
    ["a:443", "HOST:PORT=HOST:PORT"],
    ["a:443=b:1=c:2", "HOST:PORT=HOST:PORT"],
    ["a=b", '"a" is not HOST:PORT'],
    [":443=b:1", '":443" is not HOST:PORT'],
    ["a:443=b:0", '"b:0" is not HOST:PORT'],
    ["a:443=b:65536", '"b:65536" is not HOST:PORT'],
    ["https://a:443=b:1", "is not HOST:PORT"],
    ["a:443=[127.0.0.1]:1", "is not HOST:PORT"],
    ["a:443=169.254.169.254:80", "stays refused"],
    ["a:443=[fe80::1]:80", "stays refused"],
    ["a:443=b:1,A.:443=c:1", "named twice"],
  ])("says what is wrong with %s", (text, sentence) => {
    expect(parseConnectTo(text).mistakes).toEqual([expect.stringContaining(sentence)]);
  });
});

describe("parseProxyUrl", () => {
  it("reads host, port and credentials", () => {
    expect(parseProxyUrl("http://proxy.example.com:3128")).toEqual({
      proxy: { host: "proxy.example.com", port: 3128, secure: false },
    });
    expect(parseProxyUrl("https://us%40er:pa%3Ass@proxy.example.com/")).toEqual({
      proxy: {
        host: "proxy.example.com",
        port: 443,
        secure: true,
        authorization: `Basic ${Buffer.from("us@er:pa:ss").toString("base64")}`,
      },
    });
  });

  it.each(["proxy", "socks5://proxy:1080", "http://proxy/path", "http://%zz:not-a-real-secret-1@proxy"])(
    "refuses %s without quoting it",
    (text) => {
      const result = parseProxyUrl(text);
      expect(result).toEqual({ mistake: expect.stringContaining("http://HOST:PORT") });
      expect(JSON.stringify(result)).not.toContain("not-a-real-secret-1");
    },
  );
});

describe("parseCaCertificates", () => {
  it("reads each certificate of a bundle and names the broken one", async () => {
    const { caPem } = await testAuthority();
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    const { certificates, mistakes } = parseCaCertificates(`comment\n${caPem}\n${broken}\n`);
    expect(certificates).toHaveLength(1);
    expect(mistakes).toEqual(["Certificate 2 in it cannot be read."]);
    expect(parseCaCertificates("").mistakes).toHaveLength(1);
  });
});

describe("describeOutbound", () => {
  it("names what is in force and keeps the proxy's password to itself", () => {
    const parsed = parseProxyUrl("http://user:not-a-real-secret-1@proxy:3128");
    const sentences = describeOutbound({
      ...outboundDefaults,
      connectTo: parseConnectTo("a:443=127.0.0.1:1").rules,
      proxy: "proxy" in parsed ? parsed.proxy : undefined,
    });
    expect(sentences).toEqual([
      "FACTORY_SECRETS_CONNECT_TO: calls to a:443 go to 127.0.0.1:1; TLS is verified for a.",
      "FACTORY_SECRETS_HTTPS_PROXY: outbound calls go through http://proxy:3128, by address.",
    ]);
    expect(describeOutbound(outboundDefaults)).toEqual([]);
  });
});
