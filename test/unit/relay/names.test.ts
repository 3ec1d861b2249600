import { describe, expect, it } from "vitest";
import { parseAsked, placeOfScopeName, relayedLink, scopeNameOf, upstreamPath } from "../../../src/relay/names.js";
import { OciProblem } from "../../../src/relay/oci-errors.js";

const own = ["relay.example:8443", "relay.example"];
const ask = (url: string) => {
  const [path = "", query = ""] = url.split("?");
  return parseAsked(path, new URLSearchParams(query), own);
};
const placeIn = (url: string) => {
  const asked = ask(url);
  if (!("place" in asked)) throw new Error("it names a place");
  return asked.place;
};

describe("the name of an image", () => {
  it.each([
    ["/v2/acme/ghcr.io/team/app/manifests/1", "ghcr.io", "team/app"],
    ["/v2/acme/localhost_5000/app/manifests/1", "localhost:5000", "app"],
    ["/v2/acme/registry-1.docker.io/alpine/manifests/1", "docker.io", "library/alpine"],
    ["/v2/acme/docker.io/team/app/manifests/1", "docker.io", "team/app"],
    ["/v2/acme/team/app/manifests/1?ns=ghcr.io", "ghcr.io", "team/app"],
    ["/v2/acme/ghcr.io/team/app/manifests/1?ns=ghcr.io", "ghcr.io", "team/app"],
    ["/v2/acme/ghcr.io/team/app/manifests/1?ns=quay.io", "quay.io", "ghcr.io/team/app"],
    ["/v2/acme/team/app/manifests/1?ns=quay.io:5000", "quay.io:5000", "team/app"],
    ["/v2/acme/ghcr.io/team/app/manifests/1?ns=relay.example:8443", "ghcr.io", "team/app"],
    ["/v2/acme/ghcr.io/team/app/manifests/1?ns=RELAY.example", "ghcr.io", "team/app"],
    ["/v2/acme/ghcr.io/manifests/manifests/manifests/1", "ghcr.io", "manifests/manifests"],
    ["/v2/acme/ghcr.io/blobs/tags/list/manifests/1", "ghcr.io", "blobs/tags/list"],
  ])("in %s", (url, registry, repository) => {
    expect(placeIn(url)).toMatchObject({ factory: "acme", registry, repository });
  });

  it("has one form in scopes, which leads back to the same place", () => {
    for (const url of ["/v2/acme/localhost_5000/app/manifests/1", "/v2/acme/team/app/manifests/1?ns=ghcr.io"]) {
      const place = placeIn(url);
      expect(placeOfScopeName(scopeNameOf(place))).toMatchObject({ ...place, byNamespace: false });
    }
  });

  it.each(["acme", "acme/ghcr.io", "ACME/ghcr.io/app", "acme/GHCR.io/app", "acme/ghcr.io/a//b", "acme/gh:1/app", ""])(
    "is not %j",
    (name) => {
      expect(placeOfScopeName(name)).toBeUndefined();
      expect(() => ask(`/v2/${name}/manifests/1`)).toThrow(OciProblem);
    },
  );
});

describe("what goes to the registry", () => {
  it("is the path behind the repository, with the query but for ns", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const paths = [
      "/v2/acme/ghcr.io/app/manifests/v1.0",
      `/v2/acme/ghcr.io/app/blobs/${digest}`,
      "/v2/acme/app/tags/list?ns=ghcr.io&n=5&last=a%26b",
      `/v2/acme/ghcr.io/app/referrers/${digest}?artifactType=a/b`,
    ].map((url) => {
      const asked = ask(url);
      return "place" in asked ? upstreamPath(asked) : "";
    });
    expect(paths).toEqual([
      "manifests/v1.0",
      `blobs/${digest}`,
      "tags/list?n=5&last=a%26b",
      `referrers/${digest}?artifactType=a%2Fb`,
    ]);
  });

  it("leads back to the relay by its Link, whatever else that says", () => {
    const asked = ask("/v2/acme/ghcr.io/app/tags/list");
    if (asked.what !== "tags") throw new Error("it asks for tags");
    const next = '</v2/acme/ghcr.io/app/tags/list?last=z>; rel="next"';
    expect(relayedLink('</v2/app/tags/list?last=z>; rel="next"', asked)).toBe(next);
    expect(relayedLink("<https://elsewhere.example/x?last=z&ns=evil.example>; rel=next", asked)).toBe(next);
    expect(relayedLink('</v2/app/tags/list?last=z>; rel="prev"', asked)).toBeUndefined();
    expect(relayedLink("nonsense", asked)).toBeUndefined();
  });
});
