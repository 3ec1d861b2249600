import { z } from "zod";
import { Problem } from "../../core/problem.js";
import { type RequestFacts, route } from "../../http/route.js";
import { OfferedCommandLine, OfferedFileParams } from "./contract.js";
import type { OfferedCli, OfferedFile } from "./read-offered.js";

type Files = { offeredCli: () => Promise<OfferedCli | undefined>; offeredHelper: () => Promise<OfferedFile> };
type Deps = Files & { publicUrl: () => string };

const text = z.string();
const tarball = z
  .custom<Uint8Array>((value) => value instanceof Uint8Array)
  .meta({ override: { type: "string", format: "binary" } });
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
    summary: "The command line of this release, and how to install it",
    description: "Commands to paste; with `Accept: application/json` the facts.",
    auth: "anyone",
    replies: {
      200: {
        description: "What there is.",
        content: { "text/plain": text, "application/json": OfferedCommandLine },
      },
    },
    problems: ["not-found", "not-acceptable"],
  },
  async ({ offeredCli, offeredHelper, publicUrl }: Deps, { request }) => {
    const offered = await offeredCli();
    if (offered === undefined) throw notPacked();
    // `text/html` too: a browser shows the text.
    const mediaType = request.accepts("text/plain", "application/json", "text/html");
    if (mediaType === undefined) throw new Problem("not-acceptable", "Accept text/plain or application/json.");
    const script = await offeredHelper();
    const install = installCli(offered, publicUrl());
    const helper = { ...factsOf(script, publicUrl()), install: installHelper(script, publicUrl()) };
    const headers = { "Cache-Control": cacheControl, Vary: "Accept" };
    if (mediaType !== "application/json") {
      return { status: 200, mediaType: "text/plain", body: page(offered, install, helper.install), headers };
    }
    const body = { version: offered.version, ...factsOf(offered, publicUrl()), install, helper };
    return { status: 200, mediaType, body, headers };
  },
);

const factsOf = ({ file, content, sha256 }: OfferedFile, publicUrl: string) => ({
  file,
  url: `${publicUrl}/cli/${file}`,
  bytes: content.length,
  sha256,
});

const page = (
  { version, file, sha256 }: OfferedCli,
  install: readonly string[],
  helper: readonly string[],
): string => `factory-secrets ${version}: the command line

  ${install.join(" &&\n  ")}

It needs Node 20.19 or later, and asks no package registry. On macOS it is \`shasum -a 256 -c\`. The checksum comes from
the same place as the file: in a pipeline keep a copy of it, and compare with that.

file    ${file}
sha256  ${sha256}

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
        content: { "application/gzip": tarball, "text/plain": text },
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
    const headers = headersOf(offered);
    const { file, content, sha256 } = offered;
    if (isHeld(request, offered)) return { status: 304, headers };
    if (asked !== file) {
      const name = params.file.replace(/\.sha256$/, "");
      return { status: 200, mediaType: "text/plain", body: `${sha256}  ${name}\n`, headers };
    }
    if (offered === helper) return { status: 200, mediaType: "text/plain", body: content.toString("utf8"), headers };
    // Without a charset: it is no text.
    return {
      status: 200,
      mediaType: "application/gzip",
      body: content,
      headers: { ...headers, "Content-Type": "application/gzip" },
    };
  },
);

export const commandLineRoutes = [getCommandLine, getCommandLineFile];
