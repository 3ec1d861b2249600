import { expect, test } from "vitest";
import { firstSteps } from "../../../src/service/first-steps.js";

const said = (keySource: string | undefined) =>
  firstSteps({ url: "http://127.0.0.1:8080", token: "fso_...", dataDirectory: "/data", keySource, ownTls: false });

test.each([
  ["file:/data/key-encryption-key", "Keep a copy of /data/key-encryption-key: nothing opens without it."],
  ["file:/etc/key-2026", "Keep a copy of /etc/key-2026: nothing opens without it."],
  ["env:KEY_2026", "Keep a copy of the key in KEY_2026: nothing opens without it."],
  [
    "transit://vault.example.com/transit/k",
    "Do not delete transit://vault.example.com/transit/k: nothing opens without it.",
  ],
  [undefined, "Keep a copy of the key-encryption key: nothing opens without it."],
])("the first start says of the key %s how it is kept", (source, sentence) => {
  expect(said(source)).toContain(`Data: /data\n${sentence}\n`);
  expect(said(source).match(/nothing opens without it/g)).toHaveLength(1);
});
