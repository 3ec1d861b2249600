import { expect, it } from "vitest";
import { RegistryTokenRequest } from "../../../src/broker/issue/contract.js";
import { decideDemands } from "../../../src/broker/issue/decide-demands.js";
import type { FactoryFacts, KnownEntry } from "../../../src/broker/issue/factory-facts.js";
import { Grant } from "../../../src/core/grant.js";
import { parseDocument } from "../../../src/factory-config/parse-document.js";

const first = "us-docker.pkg.dev";
const second = "europe-docker.pkg.dev";
const document = `- type: gar
  gar_creds_secret_name: gcp_creds
  hosts: [${first}, ${second}]
- type: aws
  aws_creds_secret_name: aws_creds
  region: us-east-2
  profile: ci@acme+x
`;

function factsOf(text: string): FactoryFacts {
  const parsed = parseDocument(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.invalid));
  const entries: KnownEntry[] = parsed.config.entries.map(({ entry }) => ({ entry, hash: entry.id, isApproved: true }));
  const factory = { id: "1", name: "acme" };
  return { factory, generation: 1n, configVersion: 1, entries, secrets: new Map() };
}

/** The hosts that a job with grants for these registries gets tokens for, or the code of its refusal. */
function reached(granted: readonly string[], asked?: string): string[] {
  const grants = granted.map((registry) => Grant.parse({ registry }));
  const decided = decideDemands(factsOf(document), { grants }, asked ? [{ registry: asked }] : undefined, false);
  return decided.flatMap((one) =>
    "problem" in one ? [one.problem.code] : one.demands.map(({ host, entry }) => host ?? entry.id),
  );
}

it("a grant for a host reaches no other host of the entry, although the first is the entry's id", () => {
  expect(reached([first], first)).toEqual([first]);
  expect(reached([first], second)).toEqual(["outside-grants"]);
  expect(reached([first])).toEqual([first]);
  expect(reached([second], second)).toEqual([second]);
  expect(reached([second], first)).toEqual(["outside-grants"]);
  expect(reached([second])).toEqual([second]);
  expect(reached([first, second])).toEqual([first, second]);
});

it("a grant can name every id that an entry can have, and a request too", () => {
  const id = "aws:us-east-2:ci@acme+x";
  expect(reached([id], id)).toEqual([id]);
  expect(RegistryTokenRequest.parse({ registry: id }).registry).toBe(id);
});

it.each(["a\nb", "a, ghcr.io=conflict", "a=b", "\u2028", "\u00e9", ""])(
  "a request names no registry %j, which would come back in a header",
  (registry) => {
    expect(RegistryTokenRequest.safeParse({ registry }).success).toBe(false);
    expect(RegistryTokenRequest.safeParse({ requests: [{ registry }] }).success).toBe(false);
  },
);
