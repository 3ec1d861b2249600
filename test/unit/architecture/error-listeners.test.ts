import { beforeAll, describe, expect, test } from "vitest";
import { readSourceFiles, type SourceFile } from "./source-files.js";

let files: SourceFile[];
beforeAll(async () => {
  files = await readSourceFiles();
});

const pathsOf = (matches: (file: SourceFile) => boolean): string[] => files.filter(matches).map(({ path }) => path);

/** Makes what can emit `error`: child processes, servers, sockets, requests, workers. */
const makers =
  /\b(spawn|fork|createServer|createTlsServer|createListener|connectTcp|connectTls|createConnection|httpRequest|httpsRequest)\(|\bnew (Worker|EventEmitter|WebSocket)\(/;

/** Files that make such a thing and do not listen themselves, each with the reason. */
const excused: Readonly<Record<string, string>> = {
  "http/server.ts": "listen.ts listens on what it makes",
};

describe("an error event without a listener ends the process, so", () => {
  test("connections to Postgres are made in one file, which gives each a listener for its whole life", () => {
    expect(pathsOf(({ code }) => /\bnew pg\.|\bnew (Pool|Client)\(/.test(code))).toEqual(["db/connections.ts"]);
  });

  test("no listener for errors is one that goes away with the first", () => {
    expect(pathsOf(({ text }) => /\.(once|prependOnceListener)\(\s*"error"/.test(text))).toEqual([]);
  });

  test("a file that makes a child process, a server, a socket or a request listens for its errors", () => {
    const silent = pathsOf(({ code, text }) => makers.test(code) && !/\.on\(\s*"error"/.test(text));
    expect(silent).toEqual(Object.keys(excused));
  });
});
