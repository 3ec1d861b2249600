import { expect, it } from "vitest";
import { presentedToken } from "../../../src/identity/callers.js";

const idToken = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl";

it.each([
  ["alone, where a token may stand alone", idToken, true, { token: idToken }],
  ["as a bearer, where one may stand alone too", `Bearer ${idToken}`, true, { token: idToken }],
  ["as a bearer", `Bearer ${idToken}`, false, { token: idToken }],
  ["alone, where none may", idToken, false, "unreadable"],
  ["as something else", `Basic ${idToken}`, true, "unreadable"],
])("a token is taken %s", (_how, authorization, takesBareToken, presented) => {
  expect(presentedToken({ osfToken: undefined, authorization, takesBareToken })).toEqual(presented);
});
