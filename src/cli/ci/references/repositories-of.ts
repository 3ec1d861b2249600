import { parseImageReference } from "../../../broker/references/image-reference.js";
import type { Mention } from "./mention.js";

/** The repositories of each registry that are mentioned, by host. What is no reference is passed over. */
export function repositoriesOf(mentions: readonly Mention[]): Map<string, string[]> {
  const byHost = new Map<string, Set<string>>();
  for (const mention of mentions) {
    const image = "reference" in mention ? parseImageReference(mention.reference) : "";
    if (typeof image === "string") continue;
    byHost.set(image.host, (byHost.get(image.host) ?? new Set()).add(image.repository));
  }
  return new Map([...byHost].map(([host, repositories]) => [host, [...repositories].toSorted()]));
}
