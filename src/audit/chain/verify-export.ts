import { ChainVerifier, type VerifyOptions } from "./chain-verifier.js";
import { readExportLine } from "./export-format.js";
import type { Verified } from "./verified.js";

/**
 * Checks an export, offline, as `ChainVerifier` does.
 * @param chunks the text of the export, cut anywhere
 * @throws AuditBroken at the first thing that does not hold
 */
export async function verifyExport(chunks: AsyncIterable<string>, options: VerifyOptions = {}): Promise<Verified> {
  const verifier = new ChainVerifier(options);
  let rest = "";
  for await (const chunk of chunks) {
    const texts = (rest + chunk).split("\n");
    rest = texts.pop() ?? "";
    for (const text of texts) verifier.take(readExportLine(text));
    verifier.progress();
  }
  return verifier.end(rest);
}
