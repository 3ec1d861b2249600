import { access, constants, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { z } from "zod";
import { runProgram } from "../test/support/programs/run-to-end.js";
import { type Api, expectStatus } from "./api-client.js";

export type SecretUpdate = { factory: string; token: string; name: string; value: string };

/** `fioctl secrets update`, and how it is done here. */
export type Fioctl = { how: string; update(update: SecretUpdate): Promise<string> };

const Triggers = z.object({ data: z.array(z.object({ id: z.number() })) });

/** The real fioctl when it is installed; else the requests that it sends, byte for byte in their meaning. */
export async function findFioctl(api: Api, url: string, directory: string): Promise<Fioctl> {
  const program = await onPath("fioctl");
  if (program === undefined) {
    return {
      how: "fioctl is not on the PATH, so the demo sends the very requests that it would send",
      update: (update) => sendAsFioctl(api, update),
    };
  }
  return { how: `by the real fioctl, ${program}`, update: (update) => runFioctl(program, { url, directory }, update) };
}

// client/foundries.go of github.com/foundriesio/fioctl: list the triggers, then PATCH the one there is or POST the first.
async function sendAsFioctl(api: Api, { factory, token, name, value }: SecretUpdate): Promise<string> {
  const path = `/projects/${factory}/lmp/triggers/`;
  const { data } = Triggers.parse(expectStatus(await api(token, path), 200).json);
  const secrets = [{ name, value }];
  const [trigger] = data;
  if (trigger === undefined) {
    expectStatus(await api(token, path, { body: { type: "simple", secrets } }), 201);
    return `GET ${path} 200, POST ${path} 201`;
  }
  const own = `${path}${trigger.id}/`;
  expectStatus(await api(token, own, { method: "PATCH", body: { type: "simple", id: trigger.id, secrets } }), 200);
  return `GET ${path} 200, PATCH ${own} 200`;
}

async function runFioctl(
  program: string,
  { url, directory }: { url: string; directory: string },
  { factory, token, name, value }: SecretUpdate,
): Promise<string> {
  const config = join(directory, "fioctl.yaml");
  await writeFile(config, `factory: ${factory}\nserver:\n  url: ${url}\n`, { mode: 0o600 });
  const args = ["--config", config, "--token", token, "secrets", "update", `${name}=${value}`];
  const { exitCode, stdout, stderr } = await runProgram(program, args, { HOME: directory });
  if (exitCode !== 0) throw new Error(`fioctl ended with ${exitCode}: ${stdout}${stderr}`);
  return stdout.trim() || "fioctl said nothing, exit code 0";
}

async function onPath(name: string): Promise<string | undefined> {
  const file = process.platform === "win32" ? `${name}.exe` : name;
  for (const directory of (process.env.PATH ?? "").split(delimiter).filter((part) => part !== "")) {
    const program = join(directory, file);
    const isThere = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return program;
  }
  return undefined;
}
