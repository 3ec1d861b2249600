import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { z } from "zod";
import { packageRoot } from "../core/package-root.js";
import { Problem } from "../core/problem.js";
import { type RequestFacts, route } from "../http/route.js";

const install = z
  .array(z.string())
  .meta({ description: "Commands for a shell, which stop when the checksum is wrong." });
const sha256 = z.string().meta({ description: "Hexadecimal." });

const OfferedHelper = z
  .object({
    file: z.string().meta({ example: "docker-credential-factory-secrets" }),
    url: z.string(),
    bytes: z.int(),
    sha256,
    install,
  })
  .meta({ id: "OfferedHelper", description: "A credential helper for docker and the kubelet, in sh and curl." });

const OfferedCommandLine = z
  .object({
    version: z.string().meta({ example: "0.1.0" }),
    file: z.string().meta({ example: "factory-secrets-cli-0.1.0.tgz" }),
    url: z.string().meta({ description: "Where the tarball is. Its checksum is beside it, with `.sha256` added." }),
    bytes: z.int(),
    sha256,
    install,
    helper: OfferedHelper,
  })
  .meta({ id: "OfferedCommandLine", description: "The command line of this very release, as a tarball for npm." });

const OfferedFileParams = z.object({
  file: z.string().max(200).meta({
    description:
      "A `file` of `GET /cli/index.json`, or `factory-secrets-cli.tgz` for the newest; or that with `.sha256` added.",
  }),
});

type Files = { offeredCli: () => Promise<OfferedCli | undefined>; offeredHelper: () => Promise<OfferedFile> };
type Deps = Files & { publicUrl: () => string };

const text = z.string();
const bytes = z
  .custom<Uint8Array>((value) => value instanceof Uint8Array)
  .meta({ override: { type: "string", format: "binary" } });
/** One for all of them: an operation has one kind of success. */
const fileType = "application/octet-stream";
const etag = { ETag: "The checksum." };
const unchanged = { description: "What `If-None-Match` names is still there." };

/** A later release has other bytes under another name, but one that is being worked on may keep its name. */
const cacheControl = "public, max-age=300";

const notPacked = (): Problem =>
  new Problem("not-found", "This server was built without its command line. Run `npm run build` where it was built.");

const noSuchFile = (cli: OfferedFile, helper: OfferedFile): Problem =>
  new Problem("not-found", `There is no such file. This release offers /cli/${cli.file} and /cli/${helper.file}.`);

function headersOf({ sha256 }: OfferedFile): Record<string, string> {
  return { ETag: `"${sha256}"`, "Cache-Control": cacheControl };
}

const isHeld = ({ ifNoneMatch }: RequestFacts, { sha256 }: OfferedFile): boolean =>
  ifNoneMatch?.includes(`"${sha256}"`) === true;

/** Commands that fetch a file, compare it, and only then install it. `-c` is what busybox knows too. */
function installCommands({ file, sha256 }: OfferedFile, url: string, install: string): string[] {
  return [`curl -fsSO ${url}/cli/${file}`, `echo "${sha256}  ${file}" | sha256sum -c && ${install}`];
}

const installCli = (offered: OfferedCli, url: string): string[] =>
  installCommands(offered, url, `npm install --global --offline ./${offered.file}`);

const installHelper = (offered: OfferedFile, url: string): string[] =>
  installCommands(offered, url, `install -m 755 ${offered.file} /usr/local/bin/`);

/** `factory-secrets-cli.tgz` is the newest, whatever its version. */
const withVersion = (file: string, cli: OfferedCli | undefined): string =>
  cli === undefined ? file : file.replace(/^factory-secrets-cli\.tgz(?=$|\.sha256$)/, cli.file);

const getCommandLine = route(
  {
    id: "getCommandLine",
    method: "get",
    path: "/cli",
    trailingSlash: "both",
    tag: "System",
    summary: "How to install the command line of this release",
    description: "Commands to paste. `GET /cli/index.json` has the same as JSON.",
    auth: "anyone",
    replies: { 200: { description: "What there is.", content: { "text/plain": text } } },
    problems: ["not-found"],
  },
  async (deps: Deps) => {
    const { offered, install, helper } = await whatIsOffered(deps);
    const latestUrl = `${deps.publicUrl()}/cli/factory-secrets-cli.tgz`;
    const body = page({ offered, install, helper: helper.install, latestUrl });
    return { status: 200, body, headers: { "Cache-Control": cacheControl } };
  },
);

const getCommandLineFacts = route(
  {
    id: "getCommandLineFacts",
    method: "get",
    path: "/cli/index.json",
    tag: "System",
    summary: "The command line of this release, for programs: its version, address, checksum and how to install it",
    auth: "anyone",
    replies: { 200: { description: "What there is.", content: { "application/json": OfferedCommandLine } } },
    problems: ["not-found"],
  },
  async (deps: Deps) => {
    const { offered, install, helper } = await whatIsOffered(deps);
    const body = { version: offered.version, ...factsOf(offered, deps.publicUrl()), install, helper };
    return { status: 200, body, headers: { "Cache-Control": cacheControl } };
  },
);

/** @throws Problem `not-found` when this server was built without it */
async function whatIsOffered({ offeredCli, offeredHelper, publicUrl }: Deps) {
  const offered = await offeredCli();
  if (offered === undefined) throw notPacked();
  const script = await offeredHelper();
  const helper = { ...factsOf(script, publicUrl()), install: installHelper(script, publicUrl()) };
  return { offered, install: installCli(offered, publicUrl()), helper };
}

const factsOf = ({ file, content, sha256 }: OfferedFile, publicUrl: string) => ({
  file,
  url: `${publicUrl}/cli/${file}`,
  bytes: content.length,
  sha256,
});

type Page = { offered: OfferedCli; install: readonly string[]; helper: readonly string[]; latestUrl: string };

const page = ({
  offered: { version, file, sha256 },
  install,
  helper,
  latestUrl,
}: Page): string => `factory-secrets ${version}: the command line

  ${install.join(" &&\n  ")}

It needs Node 20.19 or later, and asks no package registry. On macOS it is \`shasum -a 256 -c\`. The checksum comes from
the same place as the file: in a pipeline keep a copy of it, and compare with that.

file    ${file}
sha256  ${sha256}
newest  ${latestUrl}, with its checksum in ${latestUrl}.sha256: an address that stays

Without Node, on a device or a node of a cluster: docker's credential helper and the kubelet's, in sh and curl

  ${helper.join(" &&\n  ")}
`;

const getCommandLineFile = route(
  {
    id: "getCommandLineFile",
    method: "get",
    path: "/cli/{file}",
    tag: "System",
    summary: "The tarball of the command line, the credential helper for machines without Node, or a checksum",
    auth: "anyone",
    params: OfferedFileParams,
    replies: {
      200: {
        description: "The file.",
        content: { [fileType]: bytes },
        headers: etag,
      },
      304: unchanged,
    },
    problems: ["not-found"],
  },
  async ({ offeredCli, offeredHelper }: Files, { params, request }) => {
    const [cli, helper] = await Promise.all([offeredCli(), offeredHelper()]);
    const asked = withVersion(params.file, cli);
    const offered = [cli, helper].find((one) => one && [one.file, `${one.file}.sha256`].includes(asked));
    if (offered === undefined) throw cli ? noSuchFile(cli, helper) : notPacked();
    // Without a charset: a tarball is binary.
    const headers = { ...headersOf(offered), "Content-Type": fileType };
    const { file, content, sha256 } = offered;
    if (isHeld(request, offered)) return { status: 304, headers: headersOf(offered) };
    if (asked === file) return { status: 200, body: content, headers };
    return { status: 200, body: Buffer.from(`${sha256}  ${params.file.replace(/\.sha256$/, "")}\n`), headers };
  },
);

export const commandLineRoutes = [getCommandLine, getCommandLineFacts, getCommandLineFile];

export type OfferedFile = {
  file: string;
  content: Buffer;
  /** Hexadecimal. */
  sha256: string;
};

/** The command line as a tarball that `npm install -g` takes. */
export type OfferedCli = OfferedFile & { version: string };

/** Where scripts/build.mjs puts it. */
export const offeredDirectory = new URL("dist/offered/", packageRoot);

/** @returns what the build has packed; `undefined` where that was not done */
export async function readOffered(directory: URL): Promise<OfferedCli | undefined> {
  const names = await readdir(directory).catch(() => []);
  for (const file of names) {
    const version = /^factory-secrets-cli-(\d[\w.-]*)\.tgz$/.exec(file)?.[1];
    if (version === undefined) continue;
    return { version, ...(await readFileOf(directory, file)) };
  }
  return undefined;
}

/** The credential helper for machines without Node: a script, offered as it is in clients/. */
export const helperFile = "docker-credential-factory-secrets";

export const readOfferedHelper = (): Promise<OfferedFile> => readFileOf(new URL("clients/", packageRoot), helperFile);

async function readFileOf(directory: URL, file: string): Promise<OfferedFile> {
  const content = await readFile(new URL(file, directory));
  return { file, content, sha256: createHash("sha256").update(content).digest("hex") };
}
