// Imported before everything else, so it keeps to what the oldest Node with ES modules can read.
const [major, minor] = process.versions.node.split(".").map(Number);

/** Whether this Node can run the program. Otherwise a person was told so, and the process ends with 1. */
export function isNodeNewEnough() {
  if (major > 20 || (major === 20 && minor >= 19)) return true;
  console.error(
    `factory-secrets needs Node 20.19 or later, and this is ${process.versions.node} (${process.execPath}). Install a newer one: https://nodejs.org/`,
  );
  process.exitCode = 1;
  return false;
}
