import { expect, test } from "vitest";
import { openServiceDatabase } from "../../../src/db/open-service-database.js";
import { explainConnection } from "../../../src/db/wait-for-database.js";
import { readSettings } from "../../../src/settings/settings.js";

const password = "not-a-real-secret-1";
const url = `postgresql://jane:${password}@db.example.test/fs`;
const coded = (code: string) => Object.assign(new Error(`quotes ${password}`), { code });
const at = "The database at db.example.test:5432, which DATABASE_URL names,";

test.each([
  ["ECONNREFUSED", `${at} refuses connections. Is Postgres running there, on that port?`],
  ["ENOTFOUND", `${at} cannot be found: its host name does not resolve. Check the host.`],
  ["28P01", `${at} refuses this user or password. Check both, and pg_hba.conf of the server.`],
  ["3D000", `${at} has no database named fs. Create it, with ENCODING 'UTF8'.`],
  [
    "ETIMEDOUT",
    `${at} does not answer. Check host, port, the network between, and whether the server takes more connections.`,
  ],
])("%s is told as a sentence without the password", (code, sentence) => {
  expect(explainConnection(coded(code), url)).toMatchObject({ name: "DatabaseUnusable", message: sentence });
});

test("what is no trouble with the connection stays what it is", () => {
  const error = coded("42P01");
  expect(explainConnection(error, url)).toBe(error);
});

test("a start without a Postgres behind DATABASE_URL says so", async () => {
  // Nothing can listen on the discard port without being root.
  const settings = readSettings({ DATABASE_URL: `postgresql://jane:${password}@127.0.0.1:9/fs` });
  const nothing = () => undefined;
  await expect(
    openServiceDatabase(settings, { onProgress: nothing, onError: nothing, onUnexpectedExit: nothing }),
  ).rejects.toThrow(/^The database at 127\.0\.0\.1:9, which DATABASE_URL names, refuses connections\./);
});
