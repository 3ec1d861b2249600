import { beforeAll, expect, it } from "vitest";
import { readCertificate } from "../../../src/identity/devices/certificate.js";
import { makeRoot } from "../../support/devices/device-certificates.js";

/** After 2050 a time is written with four digits of the year: RFC 5280, 4.1.2.5.2. */
const end = "20600101000000Z";

let der: Buffer;
beforeAll(async () => {
  const root = await makeRoot(undefined, { notAfter: new Date("2060-01-01T00:00:00Z") });
  der = Buffer.from(root.certificate.rawData);
});

const withEnd = (text: string) => Buffer.from(der.toString("latin1").replace(end, text), "latin1");

it("reads a certificate whose times are written as they should be", () => {
  expect(readCertificate(withEnd(end))?.notAfter).toEqual(new Date("2060-01-01T00:00:00Z"));
});

it.each([
  ["with an offset", "2060010100+0100"],
  ["of a month that there is not", "20601301000000Z"],
  ["of a day that there is not", "20600230000000Z"],
  ["of no time", "xxxxxxxxxxxxxxZ"],
])("reads no certificate with an end %s, on which readers do not agree", (_what, text) => {
  expect(text).toHaveLength(end.length);
  expect(readCertificate(withEnd(text))).toBeUndefined();
});
