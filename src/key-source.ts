import { join } from "node:path";
import type { KeySource } from "./crypto/open-key-ring.js";
import type { Settings } from "./settings.js";

/** Where the key-encryption key is: in a setting, or in the data directory of an embedded installation. */
export function keySource(settings: Settings, dataDirectory: string | undefined): KeySource {
  if (settings.key !== undefined || dataDirectory === undefined) return { kind: "setting", text: settings.key };
  return { kind: "file", path: join(dataDirectory, "key-encryption-key") };
}
