import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { exitCodes } from "../../../../src/cli/client/command-failure.js";
import { projectedTokenPath } from "../../../../src/cli/job/find-identity.js";
import { clientNames } from "../../../../src/settings/client-names.js";

const text = readFileSync(new URL("../../../../docs/ci.md", import.meta.url), "utf8");
const rowsOf = (heading: string) => {
  const section = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/^\| `?([A-Z_0-9]+)`? \|/gm)].map(([, name]) => name);
};

test("docs/ci.md lists every name that the command line reads, and no other", () => {
  expect(rowsOf("Environment")).toEqual([...Object.keys(clientNames), "FACTORY_SECRETS_CA_FILE"]);
});

test("docs/ci.md lists every exit code", () => {
  const { notStarted, ...others } = exitCodes;
  expect(rowsOf("Exit codes")).toEqual(Object.values(others).map(String));
  expect(text).toContain(`and with ${notStarted}\nwhen the command was not started`);
});

test("docs/ci.md mounts the Kubernetes token where it is looked for", () => {
  expect(text).toContain(`\`${projectedTokenPath}\``);
  expect(text).toContain("mountPath: /var/run/secrets/factory-secrets,");
});
