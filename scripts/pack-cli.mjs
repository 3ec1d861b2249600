// `npm run pack:cli [-- FOLDER]`: puts the packed command line there, as the service offers it at /cli. Prints the
// tarball's path and its SHA-256.
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildOrExit } from "./build-steps.mjs";
import { packCli } from "./cli-package.mjs";

await buildOrExit();
const folder = resolve(process.argv[2] ?? ".");
const { fileName, tarball } = await packCli();
await mkdir(folder, { recursive: true });
await writeFile(join(folder, fileName), tarball);
console.log(`${join(folder, fileName)}\nsha256 ${createHash("sha256").update(tarball).digest("hex")}`);
