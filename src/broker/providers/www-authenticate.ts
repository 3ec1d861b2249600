/** One challenge of a `WWW-Authenticate` header. Scheme and parameter names are in lower case. */
export type Challenge = { scheme: string; params: ReadonlyMap<string, string> };

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const paramStart = new RegExp(`^(${token})[ \\t]*=[ \\t]*(?="|${token})`);
const schemeStart = new RegExp(`^(${token})(?:[ \\t]+|$|(?=,))`);
// What `Negotiate` and its like send in place of parameters: one token68. It ends its challenge.
const token68 = /^[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/;
const quotedString = /^"((?:[^"\\]|\\.)*)"/;
const plainValue = new RegExp(`^${token}`);

// More than any registry sends; bounds the work on a header that was made to keep us busy.
const maxChallenges = 16;

/**
 * Reads all challenges of all `WWW-Authenticate` headers (RFC 9110, section 11.6.1): several may stand in one header,
 * and a comma inside quotes separates nothing. What cannot be read ends its header; what stands before it counts.
 */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  return headers.flatMap(parseHeader).slice(0, maxChallenges);
}

function parseHeader(header: string): Challenge[] {
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  let rest = header.trim();
  while (rest !== "") {
    const current = challenges.at(-1);
    const param = current === undefined ? undefined : readParam(rest);
    if (current !== undefined && param !== undefined) {
      // RFC 9110: a name must not occur twice. The first one counts, so that nothing appended can replace it.
      if (!current.params.has(param.name)) current.params.set(param.name, param.value);
      rest = skipSeparators(param.rest);
      continue;
    }
    const scheme = schemeStart.exec(rest);
    if (scheme?.[1] === undefined) break;
    challenges.push({ scheme: scheme[1].toLowerCase(), params: new Map() });
    const behind = rest.slice(scheme[0].length);
    rest = skipSeparators(behind.slice(/[ \t]$/.test(scheme[0]) ? (token68.exec(behind)?.[0].length ?? 0) : 0));
  }
  return challenges;
}

function readParam(text: string): { name: string; value: string; rest: string } | undefined {
  const start = paramStart.exec(text);
  const name = start?.[1]?.toLowerCase();
  if (start === null || name === undefined) return undefined;
  const afterEquals = text.slice(start[0].length);
  const quoted = quotedString.exec(afterEquals);
  if (quoted?.[1] !== undefined) {
    return { name, value: quoted[1].replace(/\\(.)/g, "$1"), rest: afterEquals.slice(quoted[0].length) };
  }
  const plain = plainValue.exec(afterEquals);
  return plain === null ? undefined : { name, value: plain[0], rest: afterEquals.slice(plain[0].length) };
}

function skipSeparators(text: string): string {
  return text.replace(/^[\s,]+/, "");
}
