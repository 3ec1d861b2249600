import { describe, expect, it } from "vitest";
import { parseChallenges } from "../../../../src/broker/providers/docker/docker-token.js";
import { expectCpuSecondsBelow } from "../../../support/cpu-seconds.js";

const read = (...headers: string[]) =>
  parseChallenges(headers).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);

describe("parseChallenges", () => {
  it.each([
    [['Bearer realm="https://a/t",service="s"'], [["bearer", { realm: "https://a/t", service: "s" }]]],
    [
      ['bearer Realm = "a" , scope="repository:x:pull,push"'],
      [["bearer", { realm: "a", scope: "repository:x:pull,push" }]],
    ],
    [['Basic realm="a, Bearer realm=b"'], [["basic", { realm: "a, Bearer realm=b" }]]],
    [
      ['Basic realm="x", Bearer realm="y",service=s'],
      [
        ["basic", { realm: "x" }],
        ["bearer", { realm: "y", service: "s" }],
      ],
    ],
    [
      ["Negotiate", 'Bearer realm="y"'],
      [
        ["negotiate", {}],
        ["bearer", { realm: "y" }],
      ],
    ],
    [
      ['Negotiate oRQwEqADCgEB==, Bearer realm="y"'],
      [
        ["negotiate", {}],
        ["bearer", { realm: "y" }],
      ],
    ],
    [
      ["Negotiate abc/+-._~", "NTLM TlRM="],
      [
        ["negotiate", {}],
        ["ntlm", {}],
      ],
    ],
    [
      ["Negotiate, Basic"],
      [
        ["negotiate", {}],
        ["basic", {}],
      ],
    ],
    [[String.raw`Bearer realm="a\"b\\c"`], [["bearer", { realm: String.raw`a"b\c` }]]],
    [['Bearer realm="first",realm="second"'], [["bearer", { realm: "first" }]]],
    [['Bearer realm="unterminated'], [["bearer", {}]]],
    [[""], []],
    [["=,=,="], []],
  ])("reads %j", (headers, expected) => {
    expect(read(...headers)).toEqual(expected);
  });

  it("is quick with a header made to keep it busy", async () => {
    const headers = [`Bearer ${'a="'.repeat(5_000)}`, "a ".repeat(8_000), `Bearer realm="${"\\".repeat(15_000)}`];
    await expectCpuSecondsBelow(0.5, () => parseChallenges(headers));
  });
});
