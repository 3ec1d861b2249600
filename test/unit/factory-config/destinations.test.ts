import { describe, expect, it } from "vitest";
import {
  destinationKey,
  destinationsOf,
  destinationsOfEntries,
  newDestinations,
} from "../../../src/factory-config/destinations.js";
import type { RegistryEntry } from "../../../src/factory-config/entry.js";

const acr: RegistryEntry = { id: "a.azurecr.io", type: "azure", host: "a.azurecr.io", secretName: "azprincipal" };
const anyAcr: RegistryEntry = { id: "azure", type: "azure", secretName: "azprincipal" };
const generic: RegistryEntry = {
  id: "evil.example",
  type: "generic",
  host: "evil.example",
  secretName: "azprincipal",
  passThrough: false,
};
const gar: RegistryEntry = { id: "gcr.io", type: "gar", hosts: ["gcr.io", "eu.gcr.io"], secretName: "gcp" };

describe("destinationsOf", () => {
  it("names each host that an entry is for", () => {
    expect(destinationsOf(gar)).toEqual([
      { secretName: "gcp", type: "gar", host: "gcr.io" },
      { secretName: "gcp", type: "gar", host: "eu.gcr.io" },
    ]);
  });

  it("writes * for an entry that has no host", () => {
    const aws: RegistryEntry = { id: "aws:us-east-2", type: "aws", region: "us-east-2", secretName: "aws_creds" };
    const anyGar: RegistryEntry = { id: "gar", type: "gar", hosts: [], secretName: "gcp" };
    expect([aws, anyAcr, anyGar].flatMap(destinationsOf).map(({ host }) => host)).toEqual(["*", "*", "*"]);
  });

  it("gives each destination of a config once, whatever the order of its entries", () => {
    const twice = [generic, acr, { ...acr, tenantId: "example.com" }, gar];
    expect(destinationsOfEntries(twice)).toEqual(destinationsOfEntries(twice.toReversed()));
    expect(destinationsOfEntries(twice)).toHaveLength(4);
  });
});

describe("newDestinations", () => {
  const approved = destinationsOf(acr);

  it("finds nothing new in what was approved", () => {
    expect(newDestinations(approved, destinationsOf(acr))).toEqual([]);
  });

  it.each([
    ["another type and host", generic],
    ["another host", { ...acr, host: "b.azurecr.io" }],
    ["every host of the cloud", anyAcr],
    ["another secret for the same host", { ...acr, secretName: "other" }],
    ["the same host under another type", { ...generic, host: "a.azurecr.io" }],
  ])("finds %s new", (_, entry: RegistryEntry) => {
    expect(newDestinations(approved, destinationsOf(entry))).toEqual(destinationsOf(entry));
  });

  it("does not take the approval of every host for that of one", () => {
    expect(newDestinations(destinationsOf(anyAcr), destinationsOf(acr))).toEqual(destinationsOf(acr));
  });

  it("compares by a key that differs when any part does", () => {
    const keys = [acr, anyAcr, generic, gar].flatMap(destinationsOf).map(destinationKey);
    expect(new Set(keys).size).toBe(5);
  });
});
