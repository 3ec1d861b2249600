import { openEmbeddedPostgres } from "../../../../src/db/embedded/open-embedded-postgres.js";

// A service in small: opens the data directory named by its argument, says so on a line, and goes on until it is killed.
const dataDirectory = process.argv[2];
if (dataDirectory === undefined) throw new Error("usage: hold-data-directory.ts DIRECTORY");
process.on("SIGINT", () => undefined);
const { url, pid } = await openEmbeddedPostgres(
  { onProgress: () => undefined, onUnexpectedExit: () => undefined },
  { dataDirectory },
);
process.stdout.write(`${JSON.stringify({ url, postmasterPid: pid })}\n`);
setInterval(() => undefined, 60_000);
