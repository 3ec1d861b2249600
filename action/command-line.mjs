// The command line comes from the service itself (GET /cli/index.json), so that it is as new as the service.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "./failure.mjs";
import { fetchFile } from "./fetch.mjs";
import { annotate, print } from "./runner.mjs";

const programs = ["factory-secrets", "docker-credential-factory-secrets"];
const maxFactsBytes = 64 * 1024;
const maxTarballBytes = 32 * 1024 * 1024;

/**
 * Fetches the command line, holds it to its checksum and unpacks it into a folder of this job.
 * @returns the path of the program, for node, and the folder with commands for later steps
 * @throws Failure
 */
export async function installCommandLine(home, inputs) {
  refuseOpenWay(inputs);
  const offered = await askWhatIsOffered(inputs);
  const tarball = await fetchFile(`${inputs.url}/cli/${offered.file}`, {
    ...inputs,
    accept: "application/octet-stream",
    maxBytes: maxTarballBytes,
  });
  checkSum(tarball, offered, inputs.pinned);
  await unpack(home, tarball);
  return { program: programIn(home), bin: await writeCommands(home) };
}

export const programIn = (home, name = programs[0]) => join(home, "package", "bin", `${name}.mjs`);

function refuseOpenWay({ url, pinned }) {
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:" || pinned || /^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname)) return;
  throw new Failure(
    `Over plain HTTP anybody on the way to ${url} can put another program in place of its command line. Use https://, or give cli-sha256.`,
  );
}

async function askWhatIsOffered(inputs) {
  const body = await fetchFile(`${inputs.url}/cli/index.json`, {
    ...inputs,
    accept: "application/json",
    maxBytes: maxFactsBytes,
  });
  const { file, sha256 } = parse(body.toString("utf8")) ?? {};
  const isAsExpected = [/^factory-secrets-cli-\d[\w.-]*\.tgz$/.test(file), /^[0-9a-f]{64}$/.test(sha256)];
  if (isAsExpected.every(Boolean)) return { file, sha256 };
  throw new Failure(`What ${inputs.url}/cli/index.json answers is not what factory-secrets does. Is the url right?`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function checkSum(tarball, { file, sha256 }, pinned) {
  const found = createHash("sha256").update(tarball).digest("hex");
  if (pinned !== undefined && found !== pinned)
    throw new Failure(
      `The service offers ${file} with the SHA-256 ${found}, and cli-sha256 names another. It was not run. If the service was upgraded, look at the new one and set cli-sha256 to it.`,
    );
  if (found !== sha256) throw new Failure(`${file} did not come whole: its SHA-256 is ${found}, not ${sha256}.`);
  if (pinned === undefined)
    annotate("notice", `${file} was compared with the service's own checksum alone. To pin it: cli-sha256: ${found}`);
}

/** Where `tar` is GNU's on Windows, it takes `C:` in a path for the name of a host: so the path is a relative one. */
async function unpack(home, tarball) {
  const file = "command-line.tgz";
  await writeFile(join(home, file), tarball);
  const child = spawn("tar", ["-xzf", file], { cwd: home, stdio: ["ignore", "ignore", "pipe"] });
  // tar names files of the archive in what it says.
  child.stderr.setEncoding("utf8").on("data", print);
  const exitCode = await new Promise((resolve) =>
    child.once("error", () => resolve("it is not in PATH")).once("close", resolve),
  );
  if (exitCode !== 0) throw new Failure(`tar could not unpack the command line: ${exitCode}.`);
  await rm(join(home, file));
}

/** For this very node: a runner has one of its own, and need not have another. */
async function writeCommands(home) {
  const bin = join(home, "bin");
  await mkdir(bin);
  for (const name of programs) {
    const script = programIn(home, name);
    const words = [process.execPath, script].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    await writeFile(join(bin, name), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    if (process.platform === "win32")
      await writeFile(join(bin, `${name}.cmd`), `@"${process.execPath}" "${script}" %*\r\n`);
  }
  return bin;
}
