import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Grant } from "../../../../src/core/grant.js";
import { type Permission, permissions } from "../../../../src/core/permissions.js";
import { checkMaker, isWithin } from "../../../../src/identity/trust-rules/rule-changes.js";

const repositories = ["a", "b", "c"];
const registries = ["one.example", "two.example"];
const grants: fc.Arbitrary<Grant> = fc
  .tuple(fc.constantFrom(...registries), fc.option(fc.subarray(repositories, { minLength: 1 })))
  .map(([registry, named]) => ({ registry, actions: ["pull"], ...(named && { repositories: named }) }));

/** All that a list of grants reaches, `d` standing for every repository that is not named anywhere. */
function reachOf(list: readonly Grant[]): Set<string> {
  return new Set(
    list.flatMap(({ registry, repositories: named = [...repositories, "d"] }) =>
      named.map((one) => `${registry}/${one}`),
    ),
  );
}

describe("the maker of a rule", () => {
  const all = new Set<Permission>(permissions);
  const rule = { grants: [{ registry: "ghcr.io", actions: ["pull" as const] }] };

  it("may grant anything when it is not limited itself", () => {
    expect(() => checkMaker({ permissions: all }, rule)).not.toThrow();
  });

  it("must have the permission that every rule hands on", () => {
    const others = new Set(permissions.filter((one) => one !== "registry-tokens:issue"));
    expect(() => checkMaker({ permissions: others }, rule)).toThrow("registry-tokens:issue");
  });

  it("cannot give a longer life than it has", () => {
    const maker = { permissions: all, maxTtlSeconds: 600 };
    expect(() => checkMaker(maker, rule)).toThrow("600");
    expect(() => checkMaker(maker, { ...rule, maxTtlSeconds: 601 })).toThrow("600");
    expect(() => checkMaker(maker, { ...rule, maxTtlSeconds: 600 })).not.toThrow();
  });

  it("never grants what it cannot reach itself, whatever its grants", () => {
    fc.assert(
      fc.property(
        fc.array(grants, { maxLength: 4 }),
        fc.array(grants, { minLength: 1, maxLength: 4 }),
        (own, wanted) => {
          const maker = { permissions: all, grants: own };
          const mayMake = wanted.every((grant) => isWithin(grant, own));
          if (!mayMake) expect(() => checkMaker(maker, { grants: wanted })).toThrow("wider than the grants");
          else {
            checkMaker(maker, { grants: wanted });
            const reach = reachOf(own);
            for (const one of reachOf(wanted)) expect(reach).toContain(one);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("may grant each line that it has, and less", () => {
    fc.assert(
      fc.property(fc.array(grants, { minLength: 1, maxLength: 4 }), (own) => {
        for (const grant of own) {
          expect(isWithin(grant, own)).toBe(true);
          expect(isWithin({ ...grant, repositories: (grant.repositories ?? repositories).slice(0, 1) }, own)).toBe(
            true,
          );
        }
      }),
    );
  });
});
