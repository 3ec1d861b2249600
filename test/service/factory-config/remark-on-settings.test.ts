import { describe, expect, it } from "vitest";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { remarkOnSettings } from "../../../src/factory-config/remarks.js";
import { parseAddressRanges, refusalOfAddress } from "../../../src/outbound/addresses.js";
import { parseConnectTo } from "../../../src/outbound/connect-to.js";
import { startConfigOverHttp } from "./config-over-http.js";

const documentOf = (url: string, more = "") => `- type: generic\n  url: ${url}\n  generic_secret_name: x\n${more}`;

function remarksOn(document: string, allowed = "", connectTo = "", passThroughHosts: string[] = []): string[] {
  const parsed = parseDocument(document);
  if (!parsed.ok) throw new Error("the document is refused");
  const { ranges: allowAddresses } = parseAddressRanges(allowed);
  const outbound = { allowAddresses, connectTo: parseConnectTo(connectTo).rules };
  return remarkOnSettings(parsed.config.entries, { passThroughHosts, outbound }).map(({ reason }) => reason);
}

describe("an entry whose host the settings do not let the service call", () => {
  it.each([
    ["10.1.2.3:5000", "FACTORY_SECRETS_ALLOW_ADDRESSES=10.1.2.3"],
    ["8.8.8.8", "FACTORY_SECRETS_ALLOW_ADDRESSES=8.8.8.8"],
    ["localhost:5000", "FACTORY_SECRETS_ALLOW_ADDRESSES=127.0.0.0/8"],
    ["registry.localhost", "FACTORY_SECRETS_ALLOW_ADDRESSES=127.0.0.0/8"],
    ["169.254.169.254", "never calls it"],
  ])("makes a warning that names the setting: %s", (host, meant) => {
    expect(remarksOn(documentOf(host))).toEqual([expect.stringContaining(meant)]);
    const [, setting = ""] = /FACTORY_SECRETS_ALLOW_ADDRESSES=(.*)$/.exec(meant) ?? [];
    if (setting === "") return;
    expect(remarksOn(documentOf(host), setting)).toEqual([]);
    const address = /^[0-9.]+/.exec(host)?.[0] ?? "127.0.0.1";
    expect(refusalOfAddress(address, parseAddressRanges(setting).ranges)).toBeUndefined();
  });

  it("makes none where the operator says where its calls go", () => {
    expect(remarksOn(documentOf("10.1.2.3:5000"), "", "10.1.2.3:5000=127.0.0.1:5000")).toEqual([]);
    expect(remarksOn(documentOf("10.1.2.3"), "", "10.1.2.3:5000=127.0.0.1:5000")).toHaveLength(1);
  });

  it("makes none for names", () => {
    for (const host of ["ghcr.io", "registry.internal:5000", "docker.io"])
      expect(remarksOn(documentOf(host))).toEqual([]);
  });
});

describe("an entry with passThrough", () => {
  const document = documentOf("quay.io:8443", "  passThrough: true\n");

  it("makes a warning unless the operator allows it for the host", () => {
    expect(remarksOn(document)).toEqual([expect.stringContaining("FACTORY_SECRETS_PASS_THROUGH_HOSTS=quay.io:8443")]);
    expect(remarksOn(document, "", "", ["quay.io:8443"])).toEqual([]);
  });

  it("is warned of when it is published", async () => {
    const http = await startConfigOverHttp();
    await http.putSecrets("x");
    const reply = await http.put(http.operator, document, { dryRun: "true" });
    expect(reply.body.warnings).toEqual([
      { at: "line 1, column 3", message: expect.stringMatching(/^passThrough is not allowed for quay\.io:8443/) },
    ]);
    await http.close();
  });
});
