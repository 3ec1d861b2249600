import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemReason } from "../../core/error-code.js";
import type { Environment } from "../../settings/reader.js";
import { holdLock, replaceFile } from "../client/change-files.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, listAt, parseJson, textAt } from "../client/json-value.js";

export type SavedLogin = {
  url: string;
  /** The factory when none is named. */
  factory?: string;
  /** The credential is an operator's, for any factory. */
  anyFactory: boolean;
  caFile?: string;
} & SavedCredential;

export type SavedCredential = { token: string } | { clientId: string; clientSecret: string };

/** `factory-secrets` in the user's folder for configuration (XDG Base Directory Specification). */
export function loginDirectory(environment: Environment, home: string): string {
  return join(environment.XDG_CONFIG_HOME || join(home, ".config"), "factory-secrets");
}

const pathIn = (directory: string): string => join(directory, "config.json");

/** The saved logins, newest first. @throws CommandFailure when the file cannot be read or is not valid */
export async function readLogins(directory: string): Promise<SavedLogin[]> {
  const path = pathIn(directory);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return "";
    throw new CommandFailure(exitCodes.failed, `${path} cannot be read by this user. Correct its owner and mode.`);
  });
  if (text === "") return [];
  const saved = parseJson(text);
  const logins = listAt(saved, "logins").map(readLogin);
  const valid = logins.filter((login) => login !== undefined);
  if (!isObject(saved) || valid.length < logins.length)
    throw new CommandFailure(
      exitCodes.failed,
      `${path} is not a file that factory-secrets wrote. Correct or remove it.`,
    );
  return valid;
}

/** The path of the logins when other users of this machine can read them. */
export async function exposedPath(directory: string): Promise<string | undefined> {
  const found = await stat(pathIn(directory)).catch(() => undefined);
  return found && process.platform !== "win32" && (found.mode & 0o077) !== 0 ? pathIn(directory) : undefined;
}

/** Saves a login as the newest, and replaces one for the same service and factory. @returns the path of the file */
export async function saveLogin(directory: string, login: SavedLogin): Promise<string> {
  await changeLogins(directory, (logins) => [login, ...logins.filter((other) => !isSamePlace(other, login))]);
  return pathIn(directory);
}

export async function forgetLogins(directory: string, forgotten: readonly SavedLogin[]): Promise<void> {
  await changeLogins(directory, (logins) =>
    logins.filter((login) => !forgotten.some((other) => isSamePlace(other, login))),
  );
}

const isSamePlace = (one: SavedLogin, other: SavedLogin): boolean =>
  one.url === other.url && one.factory === other.factory;

async function changeLogins(directory: string, change: (logins: SavedLogin[]) => SavedLogin[]): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = pathIn(directory);
    await holdLock(`${path}.lock`, async ({ isStillMine }) => {
      const logins = change(await readLogins(directory));
      await replaceFile(path, `${JSON.stringify({ logins }, undefined, 2)}\n`, isStillMine);
    });
  } catch (error) {
    if (error instanceof CommandFailure || !(error instanceof Error && "code" in error)) throw error;
    throw new CommandFailure(
      exitCodes.failed,
      `${directory} cannot be written (${systemReason(error)}). Set XDG_CONFIG_HOME to a folder that this user may write to, or use FACTORY_SECRETS_TOKEN instead of a login.`,
    );
  }
}

function readLogin(value: unknown): SavedLogin | undefined {
  const url = textAt(value, "url");
  const factory = textAt(value, "factory");
  const caFile = textAt(value, "caFile");
  const credential = readCredential(value);
  if (url === undefined || credential === undefined) return undefined;
  const anyFactory = isObject(value) && value.anyFactory === true;
  return { url, anyFactory, ...(factory && { factory }), ...(caFile && { caFile }), ...credential };
}

function readCredential(value: unknown): SavedCredential | undefined {
  const token = textAt(value, "token");
  const clientId = textAt(value, "clientId");
  const clientSecret = textAt(value, "clientSecret");
  if (token !== undefined) return { token };
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}
