/** A claim may hold a list of objects; nothing that anybody signs for a machine is deeper than this. */
const maxDepth = 32;

/** Whether no member appears twice, nothing lies too deep, and every string can be kept. `json` has been parsed before. */
export function isUnambiguousJson(json: string): boolean {
  // One set of names for each object that is open, `undefined` for each list.
  const open: (Set<string> | undefined)[] = [];
  for (const [found, colon] of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g)) {
    const mark = found.slice(0, found.length - (colon?.length ?? 0));
    if (mark === "{" || mark === "[") {
      if (open.push(mark === "{" ? new Set() : undefined) > maxDepth) return false;
    } else if (mark === "}" || mark === "]") open.pop();
    else {
      const text: unknown = JSON.parse(mark);
      if (typeof text !== "string" || /\0|\p{Cs}/u.test(text)) return false;
      if (colon === undefined) continue;
      const names = open.at(-1);
      if (text === "__proto__" || names?.has(text)) return false;
      names?.add(text);
    }
  }
  return true;
}
