import { distance } from "fastest-levenshtein";

const word = /^[a-z][a-z0-9_.-]{0,39}$/;

/**
 * The known name that `found` is a misspelling of, or `undefined` when it resembles none. Case and the choice between
 * dash and underscore do not count. A `found` that has a nearest name is that name with a slip or two, so it is safe
 * to quote in a message; one that has none may be anything, a password too.
 */
export function nearestName(found: string, known: readonly string[]): string | undefined {
  const wanted = plain(found);
  if (!word.test(wanted)) return undefined;
  let best: { name: string; slips: number } | undefined;
  for (const name of known) {
    const slips = isSwapped(wanted, plain(name)) ? 1 : distance(wanted, plain(name));
    if (slips <= allowedSlips(name) && (best === undefined || slips < best.slips)) best = { name, slips };
  }
  return best?.name;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll("-", "_");
}

/** Two neighbours in the wrong order ("regoin"): one slip to a typist, two to the edit distance. */
function isSwapped(found: string, name: string): boolean {
  const at = [...found].findIndex((letter, index) => letter !== name[index]);
  if (at < 0 || found.length !== name.length) return false;
  return found.slice(0, at) + found.charAt(at + 1) + found.charAt(at) + found.slice(at + 2) === name;
}

function allowedSlips(name: string): number {
  return Math.max(1, Math.min(3, Math.floor(name.length / 4)));
}
