import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorCode, systemReason } from "../../../core/error-code.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { holdLock } from "../../client/hold-lock.js";
import { isObject, type JsonObject, parseJson } from "../../client/json-value.js";
import { replaceFile } from "../../client/replace-file.js";
import { realFile } from "./locate-config.js";

/** What `config.json` holds. Of its members only three matter here; all others stay as they are. */
export type DockerConfig = JsonObject;

/** How often a lock may be taken from this process (it was stopped for long) before it gives up. */
const maxRounds = 5;

/**
 * Reads `config.json`, an empty one where there is none.
 * @throws CommandFailure when it is there and cannot be read as docker would
 */
export async function readDockerConfig(directory: string): Promise<DockerConfig> {
  return readConfigFile(join(directory, "config.json"));
}

/**
 * Changes `config.json` in one step, with no other `factory-secrets` in between. Members keep their order.
 * @param change - is given what it holds and the real folder of the file, and gives back what it shall hold: the same
 * object to leave the file alone
 */
export async function changeDockerConfig(
  directory: string,
  change: (config: DockerConfig, realDirectory: string) => Promise<DockerConfig>,
): Promise<void> {
  await inOwnWords(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // The lock lies beside the file itself: there may be several links to it.
    const path = await realFile(join(directory, "config.json"));
    for (let round = 0; round < maxRounds; round += 1) {
      const isDone = await holdLock(`${path}.factory-secrets-lock`, async ({ isStillMine }) => {
        const config = await readConfigFile(path);
        const changed = await change(config, dirname(path));
        return changed === config || replaceFile(path, formatConfig(changed), isStillMine);
      });
      if (isDone) return;
    }
    throw new CommandFailure(exitCodes.failed, `${path} could not be changed: too many programs do so at once.`);
  });
}

/** As docker writes it. */
export const formatConfig = (config: DockerConfig): string => `${JSON.stringify(config, undefined, "\t")}\n`;

async function readConfigFile(path: string): Promise<DockerConfig> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return "";
    throw new CommandFailure(exitCodes.failed, `${path} cannot be read (${systemReason(error)}).`);
  });
  if (text.trim() === "") return {};
  const config = parseJson(text);
  if (!isObject(config))
    throw new CommandFailure(exitCodes.failed, `${path} is no JSON object. It is left as it is: mend or remove it.`);
  for (const name of ["auths", "credHelpers"]) {
    if (config[name] !== undefined && config[name] !== null && !isObject(config[name]))
      throw new CommandFailure(
        exitCodes.failed,
        `"${name}" in ${path} is no JSON object. It is left as it is: mend it.`,
      );
  }
  return config;
}

async function inOwnWords(directory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errorCode(error) === undefined || error instanceof CommandFailure) throw error;
    throw new CommandFailure(
      exitCodes.failed,
      `docker's configuration in ${directory} cannot be written (${systemReason(error)}). Set DOCKER_CONFIG to a folder that this user may write to.`,
    );
  }
}
