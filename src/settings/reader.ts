import { readFileSync } from "node:fs";
import { nearestName } from "../core/nearest-name.js";
import { clientNames } from "./client-names.js";
import type { SettingName } from "./settings.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the readers of the parts are given: the text of each setting, and where mistakes go. */
export type Reader = {
  text: (name: SettingName) => string | undefined;
  /** The file that the text was read from, when `<NAME>_FILE` gave it. */
  pathOf: (name: SettingName) => string | undefined;
  mistake: (sentence: string) => void;
};

/**
 * Reads every text, from the environment itself or from the file that `<NAME>_FILE` names.
 * @param names - all that there are; other names of ours are mistakes
 */
export function createReader(names: readonly string[], environment: Environment, mistake: Reader["mistake"]): Reader {
  const known = [...names, ...Object.keys(clientNames)].flatMap((name) => [name, `${name}_FILE`]);
  refuseUnknownNames(environment, known, mistake);
  const texts = new Map<string, string | undefined>();
  for (const name of names) {
    texts.set(name, textOf(name, environment, mistake));
  }
  return { text: (name) => texts.get(name), pathOf: (name) => environment[`${name}_FILE`] || undefined, mistake };
}

/** A whole number from `min` to `max`, both included; `fallback` when none is given. */
export function wholeNumber(
  { text, mistake }: Reader,
  name: SettingName,
  fallback: number,
  [min, max]: readonly [number, number],
): number {
  const given = text(name);
  if (given === undefined) return fallback;
  const value = /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  mistake(`${name} must be a whole number from ${min} to ${max}.`);
  return fallback;
}

/** The parts of a list with commas, without empty ones. */
export function listOf(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function refuseUnknownNames(environment: Environment, known: readonly string[], mistake: Reader["mistake"]): void {
  for (const name of Object.keys(environment)) {
    // Names of the test suite's own programs; the service is sometimes started with the suite's environment.
    if (!/^FACTORY_SECRETS?_/.test(name) || name.startsWith("FACTORY_SECRETS_TEST_") || known.includes(name)) continue;
    const near = known.includes(`${name}_FILE`) ? `${name}_FILE` : nearestName(name, known);
    mistake(`Unknown setting ${name}.${near === undefined ? "" : ` Did you mean ${near}?`}`);
  }
}

function textOf(name: string, environment: Environment, mistake: Reader["mistake"]): string | undefined {
  const direct = environment[name] || undefined;
  const path = environment[`${name}_FILE`] || undefined;
  if (path === undefined) return direct;
  if (direct !== undefined) {
    mistake(`${name} and ${name}_FILE are both set. Keep one.`);
    return direct;
  }
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    mistake(`${name}_FILE names a file that cannot be read: ${path}`);
    return undefined;
  }
}
