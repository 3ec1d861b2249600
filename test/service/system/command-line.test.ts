import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readOffered } from "../../../src/service/offered-files.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.com" });
});
afterAll(() => service?.close());

const get = (path: string, headers: Record<string, string> = {}) => service.as(undefined).get(path).set(headers);

/** The text of a file: files go out as bytes. */
const textOf = async (path: string) => String((await get(path)).body);

test("/cli says to anyone what there is and how to install it, by the public name of the service", async () => {
  const facts = await get("/cli/index.json");
  const { file, sha256, url, bytes, install } = facts.body;
  expect(url).toBe(`https://secrets.example.com/cli/${file}`);
  expect(install).toEqual([
    `curl -fsSO ${url}`,
    `echo "${sha256}  ${file}" | sha256sum -c && npm install --global --offline ./${file}`,
  ]);
  const text = await get("/cli");
  expect(text.headers).toMatchObject({
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "public, max-age=300",
  });
  for (const command of [...install, ...facts.body.helper.install]) expect(text.text).toContain(command);
  const browser = await get("/cli", { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" });
  expect(browser.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(facts.headers["content-type"]).toBe("application/json");
  expect(bytes).toBeGreaterThan(10_000);
});

test("the tarball has the checksum that is told, and is not sent again to whoever has it", async () => {
  const { file, sha256, bytes } = (await get("/cli/index.json")).body;
  const tarball = await fetch(`${service.url}/cli/${file}`);
  expect(Object.fromEntries(tarball.headers)).toMatchObject({
    "content-type": "application/octet-stream",
    "content-length": String(bytes),
    "cache-control": "public, max-age=300",
    etag: `"${sha256}"`,
  });
  expect(
    createHash("sha256")
      .update(Buffer.from(await tarball.arrayBuffer()))
      .digest("hex"),
  ).toBe(sha256);
  expect(await textOf(`/cli/${file}.sha256`)).toBe(`${sha256}  ${file}\n`);
  const again = await get(`/cli/${file}`, { "If-None-Match": `"${sha256}"` });
  expect({ status: again.status, text: again.text }).toEqual({ status: 304, text: "" });
});

test("the credential helper for machines without Node is the script of this release, with its checksum", async () => {
  const { helper } = (await get("/cli/index.json")).body;
  const script = readFileSync(new URL("../../../clients/docker-credential-factory-secrets", import.meta.url), "utf8");
  const sha256 = createHash("sha256").update(script).digest("hex");
  const file = "docker-credential-factory-secrets";
  const url = `https://secrets.example.com/cli/${file}`;
  expect(helper).toEqual({
    ...{ file, url, bytes: script.length, sha256 },
    install: [
      `curl -fsSO ${url}`,
      `echo "${sha256}  ${file}" | sha256sum -c && install -m 755 ${file} /usr/local/bin/`,
    ],
  });
  const fetched = await get(`/cli/${file}`);
  expect(fetched.headers).toMatchObject({ "content-type": "application/octet-stream", etag: `"${sha256}"` });
  expect(String(fetched.body)).toBe(script);
  expect(await textOf(`/cli/${file}.sha256`)).toBe(`${sha256}  ${file}\n`);
  expect((await get(`/cli/${file}`, { "If-None-Match": `"${sha256}"` })).status).toBe(304);
});

test("the newest has an address of its own, and a slash at the end of /cli changes nothing", async () => {
  const { file, sha256 } = (await get("/cli/index.json")).body;
  const newest = await fetch(`${service.url}/cli/factory-secrets-cli.tgz`);
  const bytes = Buffer.from(await newest.arrayBuffer());
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
  expect(file).not.toBe("factory-secrets-cli.tgz");
  expect((await get("/cli/")).text).toBe((await get("/cli")).text);
  expect((await get("/cli")).text).toContain("newest  https://secrets.example.com/cli/factory-secrets-cli.tgz,");
  expect(await textOf("/cli/factory-secrets-cli.tgz.sha256")).toBe(`${sha256}  factory-secrets-cli.tgz\n`);
});

test("there is no other file", async () => {
  for (const file of ["factory-secrets-cli-9.9.9.tgz", "..%2f..%2fpackage.json", "x.sha256"]) {
    const reply = await get(`/cli/${file}`);
    expect(reply.status).toBe(404);
    expect(reply.body.detail).toMatch(/^There is no such file\. This release offers \/cli\/factory-secrets-cli-/);
  }
});

test("a server that was built without it offers nothing", async () => {
  const empty = mkdtempSync(join(tmpdir(), "not-packed-"));
  expect(await readOffered(pathToFileURL(`${empty}/`))).toBeUndefined();
  expect(await readOffered(pathToFileURL(`${empty}/gone/`))).toBeUndefined();
  rmSync(empty, { recursive: true });
});
