import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { viewOfEntry } from "../../../src/factory-config/convert-entry.js";
import { addEntry, removeEntry, replaceEntry } from "../../../src/factory-config/edit-entries.js";
import type { RegistryEntry } from "../../../src/factory-config/entry.js";
import { type LocatedEntry, parseDocument } from "../../../src/factory-config/parse-document.js";
import { roundsOf } from "../../support/rounds.js";

const numRuns = roundsOf(100, 250);

const names = fc.constantFrom("aws_creds", "azprincipal", "123", "no", "a.b-c", "x_y");

/** An entry by a number of its own, so that no two share a host. */
function entryArbitrary(n: number): fc.Arbitrary<RegistryEntry> {
  const aws = `123456789012.dkr.ecr.us-east-${(n % 8) + 1}.amazonaws.com`;
  return names.chain((secretName) =>
    fc.constantFrom<RegistryEntry>(
      { id: `h${n}.io:5000`, type: "generic", host: `h${n}.io:5000`, secretName, passThrough: n % 2 === 0 },
      { id: `r${n}.azurecr.io`, type: "azure", host: `r${n}.azurecr.io`, secretName, relay: "stream" },
      { id: `t${n}.azurecr.io`, type: "azure", host: `t${n}.azurecr.io`, secretName, tenantId: "example.com" },
      { id: aws, type: "aws", host: aws, region: `us-east-${(n % 8) + 1}`, secretName, profile: "ci" },
      { id: `aws:eu-west-${n}`, type: "aws", region: `eu-west-${n}`, secretName },
      {
        id: `us-r${n}-docker.pkg.dev`,
        type: "gar",
        hosts: [`us-r${n}-docker.pkg.dev`, `eu-r${n}-docker.pkg.dev`],
        secretName,
      },
    ),
  );
}

const keyNames = {
  aws: "aws_creds_secret_name",
  azure: "azure_principal_secret_name",
  gar: "gar_creds_secret_name",
  generic: "generic_secret_name",
};

/** The entry's pairs as a person might write them. */
function pairsOf(entry: RegistryEntry): [string, string][] {
  const view = viewOfEntry(entry);
  const pairs: [string, string][] = [["type", view.type]];
  if (view.url !== undefined) pairs.push(["url", `"${view.url.toUpperCase()}"`]);
  if (view.region !== undefined) pairs.push(["region", view.region]);
  if (view.profile !== undefined) pairs.push(["profile", view.profile]);
  if (view.azureTenantId !== undefined) pairs.push(["azure_tenant_id", view.azureTenantId]);
  if (view.hosts !== undefined) pairs.push(["hosts", `[${view.hosts.join(", ")}]`]);
  if (view.relay !== undefined) pairs.push(["relay", view.relay]);
  if (view.passThrough !== undefined) pairs.push(["passThrough", "true"]);
  pairs.push([keyNames[view.type], `'${view.secretName}'`]);
  return pairs;
}

type Layout = {
  shape: "mapping" | "list";
  style: "block" | "flow" | "mixed";
  lineBreak: string;
  indent: number;
  gap: number;
  comments: boolean;
  finalBreak: boolean;
  mark: boolean;
  shuffled: boolean;
  extra: boolean;
};

const layouts: fc.Arbitrary<Layout> = fc.record({
  shape: fc.constantFrom("mapping", "list"),
  style: fc.constantFrom("block", "flow", "mixed"),
  lineBreak: fc.constantFrom("\n", "\r\n"),
  indent: fc.integer({ min: 0, max: 4 }),
  gap: fc.integer({ min: 1, max: 4 }),
  comments: fc.boolean(),
  finalBreak: fc.boolean(),
  mark: fc.boolean(),
  shuffled: fc.boolean(),
  extra: fc.boolean(),
});

function writtenEntry(entry: RegistryEntry, index: number, layout: Layout): string[] {
  const pairs = pairsOf(entry);
  if (layout.extra) pairs.splice(1, 0, [`x-${index}`, "{y: [1, 'two']}"]);
  if (layout.shuffled) pairs.reverse();
  const isFlow = layout.style === "flow" || (layout.style === "mixed" && index % 2 === 0);
  if (isFlow) return [`{${pairs.map(([key, value]) => `${key}: ${value}`).join(layout.comments ? " , " : ", ")}}`];
  return pairs.flatMap(([key, value], n) => [
    `${key}:  ${value}${layout.comments ? ` # of ${key}` : ""}`,
    ...(layout.comments && n === 0 ? ["# inside"] : []),
  ]);
}

function documentOf(entries: readonly RegistryEntry[], layout: Layout): string {
  const { shape, style, comments } = layout;
  const indent = " ".repeat(layout.indent);
  const lines: string[] = comments ? ["# top", ""] : [];
  if (shape === "mapping") lines.push("lmp: {a: [1, 2]}", `container_registries:${style === "flow" ? " [" : ""}`);
  else if (style === "flow") lines.push("[");
  for (const [index, entry] of entries.entries()) {
    const [first = "", ...rest] = writtenEntry(entry, index, layout);
    if (comments) lines.push(`${indent}  # before ${index}`);
    if (style === "flow") lines.push(`${indent}  ${first}${index < entries.length - 1 ? "," : ""}`);
    else {
      const pad = `${indent} ${" ".repeat(layout.gap)}`;
      lines.push(`${indent}-${" ".repeat(layout.gap)}${first}`, ...rest.map((line) => pad + line));
    }
    if (comments) lines.push("");
  }
  if (style === "flow") lines.push(" ]");
  if (shape === "mapping") lines.push("# after", "tuf:", "  note: |", "    kept", "    as it is");
  return (layout.mark ? "\uFEFF" : "") + lines.join(layout.lineBreak) + (layout.finalBreak ? layout.lineBreak : "");
}

function entriesOf(text: string): readonly LocatedEntry[] {
  const result = parseDocument(text);
  if (!result.ok) throw new Error(JSON.stringify(result.invalid));
  return result.config.entries;
}

/** The text before and after an entry's own range. */
function around(text: string, located: LocatedEntry | undefined): { before: string; after: string } {
  if (located === undefined) throw new Error("There is no such entry");
  const shift = text.startsWith("\uFEFF") ? 1 : 0;
  return { before: text.slice(0, located.range.start + shift), after: text.slice(located.range.end + shift) };
}

function withoutCommas(text: string): string {
  return text.replaceAll(",", "");
}

function commasIn(text: string): number {
  return text.length - withoutCommas(text).length;
}

function between(head: string, middle: RegExp, tail: string): RegExp {
  const literal = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`^${literal(head)}(?:${middle.source})${literal(tail)}$`);
}

const documents = fc.integer({ min: 1, max: 5 }).chain((count) =>
  fc.record({
    entries: fc.tuple(...Array.from({ length: count }, (_, n) => entryArbitrary(n + 1))),
    layout: layouts,
    index: fc.nat({ max: count - 1 }),
    other: entryArbitrary(7),
  }),
);

describe("whatever the document looks like", () => {
  it("is read as it was meant", () => {
    fc.assert(
      fc.property(documents, ({ entries, layout }) => {
        expect(entriesOf(documentOf(entries, layout)).map(({ entry }) => entry)).toEqual(entries);
      }),
      { numRuns },
    );
  });

  it("a replaced entry leaves every byte outside its range as it was", () => {
    fc.assert(
      fc.property(documents, ({ entries, layout, index, other }) => {
        const text = documentOf(entries, layout);
        const edited = replaceEntry(text, entries[index]?.id ?? "", other);
        expect(entriesOf(edited).map(({ entry }) => entry)).toEqual(entries.with(index, other));
        const { before, after } = around(text, entriesOf(text)[index]);
        expect(edited.slice(0, before.length)).toBe(before);
        expect(edited.slice(edited.length - after.length)).toBe(after);
        if (layout.extra) expect(edited).toContain(`x-${index}`);
      }),
      { numRuns },
    );
  });

  it("a removed entry takes only its own lines, or its comma", () => {
    fc.assert(
      fc.property(documents, ({ entries, layout, index }) => {
        const text = documentOf(entries, layout);
        const edited = removeEntry(text, entries[index]?.id ?? "");
        expect(entriesOf(edited).map(({ entry }) => entry)).toEqual(entries.toSpliced(index, 1));
        const { before, after } = around(text, entriesOf(text)[index]);
        // What goes besides the entry: its dash, the blanks around it and the end of its line.
        const head = before.replace(/(?:^|(?<=\n|\uFEFF)) *(?:- *)?$/, "");
        const tail = after.replace(/^,/, "").replace(/^ *(?:#.*)?(?:\r?\n)?/, "");
        const left = entries.length === 1 ? / *\[\]\r?\n?|\s*/ : /\s*/;
        expect(withoutCommas(edited)).toMatch(between(withoutCommas(head), left, withoutCommas(tail)));
        const gone = text.slice(before.length, text.length - after.length);
        const separators = layout.style === "flow" && entries.length > 1 ? 1 : 0;
        expect(commasIn(edited)).toBe(commasIn(text) - commasIn(gone) - separators);
      }),
      { numRuns },
    );
  });

  it("an added entry takes nothing away", () => {
    fc.assert(
      fc.property(documents, ({ entries, layout, other }) => {
        const text = documentOf(entries, layout);
        const edited = addEntry(text, other);
        expect(entriesOf(edited).map(({ entry }) => entry)).toEqual([...entries, other]);
        const start = [...text].findIndex((character, at) => character !== edited[at]);
        const same = start === -1 ? text.length : start;
        expect(edited.endsWith(text.slice(same))).toBe(true);
      }),
      { numRuns },
    );
  });

  it("an entry added and removed again leaves the document as it was", () => {
    fc.assert(
      fc.property(documents, ({ entries, layout, other }) => {
        const text = documentOf(entries, layout);
        const back = removeEntry(addEntry(text, other), other.id);
        expect(layout.finalBreak || layout.shape === "mapping" ? back : back.trimEnd()).toBe(
          layout.finalBreak || layout.shape === "mapping" ? text : text.trimEnd(),
        );
      }),
      { numRuns },
    );
  });

  it("every line end stays what the document's are", () => {
    fc.assert(
      fc.property(documents, ({ entries, layout, index, other }) => {
        const text = documentOf(entries, { ...layout, lineBreak: "\r\n", finalBreak: true });
        const edited = addEntry(removeEntry(text, entries[index]?.id ?? ""), other);
        expect(edited).not.toMatch(/(?<!\r)\n/);
      }),
      { numRuns },
    );
  });
});
