import { readFileSync } from "node:fs";
import { packageRoot } from "../../core/package-root.js";

/** The version of the package that contains this file. */
export function ownVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("package.json", packageRoot), "utf8"));
  const version = typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : "";
  return String(version);
}
