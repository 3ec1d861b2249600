// Prints `passed failed skipped` of a report that vitest's JSON reporter wrote. A run that failed without one failed
// test (a file that cannot be loaded, an unhandled error, no report at all) counts as one failure.
import { readFileSync } from "node:fs";

const [, , file, outcome] = process.argv;
const { passed, failed, skipped } = counts();
console.log(passed, failed === 0 && outcome !== "passed" ? 1 : failed, skipped);

function counts() {
  try {
    const report = JSON.parse(readFileSync(file, "utf8"));
    const skipped = report.numPendingTests + report.numTodoTests;
    return { passed: report.numPassedTests, failed: report.numFailedTests, skipped };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
