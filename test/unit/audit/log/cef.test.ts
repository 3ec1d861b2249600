import { expect, it } from "vitest";
import { cefLine } from "../../../../src/audit/log/export.js";

function lineOf(event: Record<string, unknown>, reader: "factory" | "installation" = "installation"): string {
  const sealed = {
    log: "00000000-0000-4000-8000-000000000001",
    index: 7,
    eventId: "9",
    writer: "00000000-0000-4000-8000-000000000000",
    event: Buffer.from(JSON.stringify(event)),
  };
  return cefLine(sealed, reader);
}

it("shows a factory an id of its own, not that of the row", () => {
  expect(lineOf({}, "factory")).toMatch(/externalId=[0-9a-f]{32} cn3Label=index cn3=7$/);
});

it("says who, what, where and when", () => {
  const event = {
    action: "secret.written",
    actor: { id: "id-1", kind: "api-token", name: "ci" },
    address: "192.0.2.7",
    at: "2026-11-24T12:00:00.000Z",
    factory: { id: "id-2", name: "acme" },
    outcome: "allowed",
    requestId: "r-1",
    secret: "aws_creds",
    secretVersion: 3,
  };
  expect(lineOf(event)).toBe(
    "CEF:0|factory-secrets|factory-secrets|1|secret.written|secret.written|3|rt=1795521600000 externalId=9 outcome=allowed " +
      "spriv=api-token suid=id-1 suser=ci src=192.0.2.7 cs1Label=factory cs1=acme cs2Label=secret cs2=aws_creds " +
      "cs3Label=requestId cs3=r-1 cn1Label=secretVersion cn1=3 cn3Label=index cn3=7",
  );
});

it("lets no name end a field or a line", () => {
  const actor = { id: "i", kind: "job", name: "a=b|c\\d\ne\r" };
  const line = lineOf({ action: "x|y", actor, at: "2026-11-24T12:00:00.000Z", outcome: "refused", address: "others" });
  expect(line).toContain("|x\\|y|x\\|y|5|");
  expect(line).toContain("suser=a\\=b|c\\\\d\\ne\\r ");
  expect(line).not.toContain("src=");
  expect(line).not.toMatch(/[\r\n]/);
});
