import { type Check, passed, unknown, warned } from "./check.js";

/**
 * Compares who two versions say that they are, for clouds where the value itself names the principal.
 * @param then the current version's, `undefined` when it cannot be read
 * @param what what is compared, for the sentence: "the application (client id)"
 */
export function sameByName(what: string, now: string, then: string | undefined): Check {
  if (then === undefined) {
    return unknown("same-principal", "The current version cannot be read, so there is nothing to compare with.");
  }
  if (now === then) return passed("same-principal", `It is ${what} of the current version.`);
  return warned("same-principal", `It is not ${what} of the current version. Check that this is meant.`);
}
