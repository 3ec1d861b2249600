import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { AuditEvent } from "../../../src/audit/contract.js";
import { knownEntryKeys } from "../../../src/factory-config/entry.js";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { firstSteps } from "../../../src/service/first-steps.js";
import { settingNames } from "../../../src/settings/settings.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const markdownIn = (folder: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
const documents = [".", "docs", "docs/decisions"].flatMap(markdownIn);

/** A heading as the fragment of a link names it: GitHub's rule, as far as our headings need it. */
function fragmentOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, "")
    .trim()
    .replaceAll(" ", "-");
}

function fragmentsOf(path: string): string[] {
  const prose = read(path).replace(/^```[\s\S]*?^```/gm, "");
  return [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => fragmentOf(heading ?? ""));
}

describe.each(documents)("%s", (path) => {
  test("links to what exists", () => {
    const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? "");
    const broken = links.filter((link) => {
      if (link.startsWith("https://")) return false;
      const [file = "", fragment] = link.split("#");
      const target = file === "" ? path : relative(root, join(root, dirname(path), file));
      if (!existsSync(join(root, target))) return true;
      return fragment !== undefined && !fragmentsOf(target).includes(fragment);
    });
    expect(broken).toEqual([]);
  });

  test("names files of this repository that exist", () => {
    const named = [...read(path).matchAll(/`((?:src|test|prisma|docs|scripts|bench|demo)\/[\w./-]+)`/g)];
    expect(named.map(([, file]) => file ?? "").filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });
});

test("the table of docs/settings.md lists every setting and no other, in the order of the code", () => {
  const table = read("docs/settings.md").split("## Settings")[1]?.split("\n## ")[0] ?? "";
  const rows = [...table.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
  expect(rows).toEqual(Object.keys(settingNames));
});

test("docs/factory-config.md names every key of an entry, and its examples are valid without a remark", () => {
  const text = read("docs/factory-config.md");
  expect(knownEntryKeys.filter((key) => !text.includes(`\`${key}\``))).toEqual([]);
  const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, example]) => example ?? "");
  expect(examples).toHaveLength(2);
  for (const example of examples) expect(parseDocument(example)).toMatchObject({ ok: true, warnings: [] });
});

test("docs/keyless.md shows entries that are valid without a remark, and none with a secret", () => {
  const [example = ""] = [...read("docs/keyless.md").matchAll(/^ *```yaml\n([\s\S]*?)^ *```/gm)].map(
    ([, text]) => text,
  );
  const parsed = parseDocument(example.replace(/^ {3}/gm, ""));
  expect(parsed).toMatchObject({ ok: true, warnings: [] });
  const names = parsed.ok ? parsed.config.entries.map(({ entry }) => entry.secretName) : [];
  expect(names).toEqual([undefined, undefined, undefined]);
});

test("the README shows the commands that the first start prints", () => {
  const readme = read("README.md").replace(/^ +/gm, "");
  const where = { url: "http://127.0.0.1:8080", token: "fso_...", dataDirectory: undefined, keySource: undefined };
  const printed = firstSteps({ ...where, ownTls: false });
  const commands = [...printed.matchAll(/^ {2}(\S.*)$/gm)].map(([, command]) => command ?? "");
  expect(commands).toHaveLength(8);
  expect(commands.filter((command) => !readme.includes(command))).toEqual([]);
  // With a certificate of a private authority, the command line, curl and fioctl each need its root, by their own variable.
  const forOwnTls = /export FACTORY_SECRETS_CA_FILE=\S+ CURL_CA_BUNDLE=\S+ SSL_CERT_FILE=\S+\n/;
  expect([printed, firstSteps({ ...where, ownTls: true })].map((text) => forOwnTls.test(text))).toEqual([false, true]);
});

test("docs/audit.md names every member of an event and every action that the code can write", () => {
  const text = read("docs/audit.md");
  const actions = [...read("src/audit/events.ts").matchAll(/"([a-z-]+\.[a-z-]+)"/g)].map(([, action]) => action ?? "");
  expect(actions.length).toBeGreaterThan(10);
  const missing = [...Object.keys(AuditEvent.shape), ...actions].filter((name) => !text.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

test("the list of decisions is complete", () => {
  const files = markdownIn("docs/decisions").filter((path) => !path.endsWith("README.md"));
  const list = read("docs/decisions/README.md");
  expect(files.filter((path) => !list.includes(`(${path.slice("docs/decisions/".length)})`))).toEqual([]);
});
