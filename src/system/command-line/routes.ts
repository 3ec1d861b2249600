import { z } from "zod";
import { Problem } from "../../http/problem.js";
import { type RequestFacts, route } from "../../http/route.js";
import { OfferedCommandLine, OfferedFileParams } from "./contract.js";
import type { OfferedCli } from "./read-offered.js";

type Deps = { offeredCli: () => Promise<OfferedCli | undefined>; publicUrl: () => string };

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

function headersOf({ sha256 }: OfferedCli): Record<string, string> {
  return { ETag: `"${sha256}"`, "Cache-Control": cacheControl };
}

const isHeld = ({ ifNoneMatch }: RequestFacts, { sha256 }: OfferedCli): boolean =>
  ifNoneMatch?.includes(`"${sha256}"`) === true;

function installCommands({ file, sha256 }: OfferedCli, url: string): string[] {
  return [
    `curl -fsSO ${url}/cli/${file}`,
    `echo "${sha256}  ${file}" | sha256sum --check && npm install --global --offline ./${file}`,
  ];
}

const getCommandLine = route(
  {
    id: "getCommandLine",
    method: "get",
    path: "/cli",
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
  async ({ offeredCli, publicUrl }: Deps, { request }) => {
    const offered = await offeredCli();
    if (offered === undefined) throw notPacked();
    // `text/html` too: a browser shows the text.
    const mediaType = request.accepts("text/plain", "application/json", "text/html");
    if (mediaType === undefined) throw new Problem("not-acceptable", "Accept text/plain or application/json.");
    const { version, file, sha256, content } = offered;
    const install = installCommands(offered, publicUrl());
    const headers = { "Cache-Control": cacheControl, Vary: "Accept" };
    if (mediaType !== "application/json")
      return { status: 200, mediaType: "text/plain", body: page(offered, install), headers };
    const url = `${publicUrl()}/cli/${file}`;
    return { status: 200, mediaType, body: { version, file, url, bytes: content.length, sha256, install }, headers };
  },
);

const page = (
  { version, file, sha256 }: OfferedCli,
  install: readonly string[],
): string => `factory-secrets ${version}: the command line

  ${install.join(" &&\n  ")}

It needs Node 20.19 or later, and asks no package registry. On macOS it is \`shasum -a 256 --check\`. The checksum comes from the same place as the file: in a
pipeline keep a copy of it, and compare with that.

file    ${file}
sha256  ${sha256}
`;

const getCommandLineFile = route(
  {
    id: "getCommandLineFile",
    method: "get",
    path: "/cli/{file}",
    tag: "System",
    summary: "The tarball of the command line, or its checksum",
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
  async ({ offeredCli }: Pick<Deps, "offeredCli">, { params, request }) => {
    const offered = await offeredCli();
    if (offered === undefined) throw notPacked();
    const headers = headersOf(offered);
    const { file, content, sha256 } = offered;
    if (params.file !== file && params.file !== `${file}.sha256`)
      throw new Problem("not-found", `There is no such file. This release offers /cli/${file}.`);
    if (isHeld(request, offered)) return { status: 304, headers };
    if (params.file !== file) return { status: 200, mediaType: "text/plain", body: `${sha256}  ${file}\n`, headers };
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
