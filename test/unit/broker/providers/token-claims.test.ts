import { expect, test } from "vitest";
import { RealmReply } from "../../../../src/broker/providers/docker/docker-token.js";
import { compareAccess, readTokenClaims } from "../../../../src/broker/providers/docker/token-claims.js";

const tokenWith = (payload: unknown) => `e30.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.x`;
const granted = { type: "repository", name: "acme/app", actions: ["pull"] };
const compare = (access: unknown) => compareAccess(readTokenClaims(tokenWith({ access })), ["acme/app"]);

test("believes an entry that says the one thing that was asked for, whatever else it says", () => {
  expect(compare([{ ...granted, class: "image" }])).toEqual({ kind: "known", missing: [], isBroader: false });
});

test.each([{ Actions: ["push"] }, { ACTIONS: null }, { Name: "acme/other" }, { Type: "registry" }])(
  "counts an entry against the token that says a member again in another case: %j",
  (members) => {
    expect(compare([{ ...granted, ...members }])).toMatchObject({ isBroader: true });
    expect(compare([{ ...members, ...granted }])).toMatchObject({ isBroader: true });
  },
);

test("reads an end in whatever case it is written, and none where several are", () => {
  expect(readTokenClaims(tokenWith({ Exp: 5 }))).toEqual({ expiresAtMs: 5_000 });
  expect(readTokenClaims(tokenWith({ exp: 10, EXP: 20, Exp: "30" }))).toEqual({ expiresAtMs: "unreadable" });
});

test.each(["", " ", "x\n", "a b", "x\u0000", "\u001b[2J", "\u00e4", 1, null, ["x"]])(
  "takes no token that could not stand in a header: %j",
  (token) => {
    expect(RealmReply.parse({ token, access_token: "good.token_1~+/=" })).toEqual({ access_token: "good.token_1~+/=" });
  },
);
