import { describe, expect, it } from "vitest";
import { parseAllowedRealms, parsePassThroughHosts } from "../../../../src/broker/providers/docker/generic.js";

describe("parseAllowedRealms", () => {
  it("reads pairs in any spelling of the hosts", () => {
    expect(parseAllowedRealms("Registry.Example.com=auth.example.com., docker.io=login.example.com")).toEqual({
      realms: [
        { registryHost: "registry.example.com", realmHost: "auth.example.com" },
        { registryHost: "registry-1.docker.io", realmHost: "login.example.com" },
      ],
      mistakes: [],
    });
  });

  it.each(["a.example.com", "a=b=c", "https://a/=b", "=b", "a:5000=b"])("says what is wrong with %s", (text) => {
    expect(parseAllowedRealms(text)).toEqual({ realms: [], mistakes: [expect.stringContaining("REGISTRY=REALM")] });
  });
});

describe("parsePassThroughHosts", () => {
  it("reads hosts and names the item that is none", () => {
    const { hosts, mistakes } = parsePassThroughHosts("Nexus.example.com:5000,https://x/");
    expect(hosts).toEqual(["nexus.example.com:5000"]);
    expect(mistakes).toEqual([expect.stringContaining('"https://x/"')]);
  });
});
