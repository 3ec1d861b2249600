import { visibleInline } from "../../../core/visible-text.js";
import { showTable } from "../../client/print-document.js";
import type { Checked } from "./check-command.js";

export const reportForms = ["table", "json", "sarif", "github"] as const;
export type ReportForm = (typeof reportForms)[number];

export type Weight = "pass" | "note" | "fail";

/** Whether a reference fails the check. One that no entry covers may be public, so it fails only with `requireCovered`. */
export function weightOf({ outcome }: Checked, requireCovered: boolean): Weight {
  if (outcome === "ok") return "pass";
  if (outcome === "passed-over" || outcome === "not-covered") return requireCovered ? "fail" : "note";
  return "fail";
}

export function report(form: ReportForm, checked: readonly Checked[], requireCovered: boolean): string {
  const weighed = checked.map((one) => ({ ...one, weight: weightOf(one, requireCovered) }));
  switch (form) {
    case "table":
      return table(weighed);
    case "json":
      return JSON.stringify({ items: weighed.map(jsonItem) }, undefined, 2);
    case "sarif":
      return JSON.stringify(sarif(weighed), undefined, 2);
    case "github":
      return weighed.flatMap(githubLine).join("\n");
    default:
      return form satisfies never;
  }
}

type Weighed = Checked & { weight: Weight };

const nameOf = ({ mention }: Checked): string => ("reference" in mention ? mention.reference : "?");

function table(checked: readonly Weighed[]): string {
  const rows = checked.map((one) => [
    `${one.mention.file}:${one.mention.line}`,
    nameOf(one),
    one.outcome,
    one.entry ?? "-",
    one.platforms?.join(",") ?? "-",
  ]);
  const told = checked.filter(({ weight }) => weight !== "pass");
  const sentences = told.map((one) =>
    visibleInline(`${one.mention.file}:${one.mention.line}: ${nameOf(one)}: ${one.message}`),
  );
  return [showTable(["WHERE", "IMAGE", "OUTCOME", "ENTRY", "PLATFORMS"], rows), ...sentences].join("\n");
}

function jsonItem({ mention, weight, ...verdict }: Weighed): Record<string, unknown> {
  const { file, line, by } = mention;
  return {
    file,
    line,
    by,
    ...("reference" in mention && { reference: mention.reference }),
    fails: weight === "fail",
    ...verdict,
  };
}

const sarifLevels = { pass: "none", note: "note", fail: "error" } as const;

/** OASIS SARIF 2.1.0, sections 3.13 and 3.27. */
function sarif(checked: readonly Weighed[]): Record<string, unknown> {
  const told = checked.filter(({ weight }) => weight !== "pass");
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "factory-secrets check",
            rules: [...new Set(told.map(({ outcome }) => outcome))].map((id) => ({ id })),
          },
        },
        results: told.map((one) => ({
          ruleId: one.outcome,
          level: sarifLevels[one.weight],
          message: { text: `${nameOf(one)}: ${one.message}` },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: encodeURI(one.mention.file) },
                region: { startLine: one.mention.line },
              },
            },
          ],
        })),
      },
    ],
  };
}

/** GitHub documentation, "Workflow commands for GitHub Actions": setting an error or notice message. */
function githubLine(one: Weighed): string[] {
  if (one.weight === "pass") return [];
  const command = one.weight === "fail" ? "error" : "notice";
  const property = (text: string): string => data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
  const { file, line } = one.mention;
  const title = `${nameOf(one)} ${one.outcome}`;
  return [`::${command} file=${property(file)},line=${line},title=${property(title)}::${data(one.message)}`];
}

// Control characters are replaced before the text is escaped: the runner undoes the escapes.
const data = (text: string): string =>
  visibleInline(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
