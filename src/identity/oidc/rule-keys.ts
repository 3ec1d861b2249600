import { Problem } from "../../core/problem.js";
import type { SignatureAlgorithm } from "./contract.js";
import { readWebKeys } from "./web-keys.js";

/**
 * Looks at a pasted key set when it is pasted, where somebody can still mend it.
 * @throws Problem `invalid-request` for what is no set of public keys, or has none for the rule's algorithms
 */
export function checkPastedKeys(jwks: string, algorithms: readonly SignatureAlgorithm[]): void {
  const reason = wrongWithKeys(jwks, algorithms);
  if (reason === undefined) return;
  throw new Problem("invalid-request", `/jwks: ${reason}`, { invalid: [{ at: "/jwks", reason }] });
}

function wrongWithKeys(jwks: string, algorithms: readonly SignatureAlgorithm[]): string | undefined {
  const set = readWebKeys(jwks);
  if (!set || set.keys.length + set.ignored.length === 0) {
    return 'the text of a JSON Web Key Set: {"keys": [...]}, with one to a hundred keys';
  }
  const { keys, ignored } = set;
  if (set.holdsPrivate) {
    return "holds a private or a shared key. Paste the public keys alone, and replace that one: it is known here now";
  }
  const ids = keys.map(({ kid }) => kid);
  if (new Set(ids).size < ids.length) return "two of its keys have one kid, or none: a token could mean either";
  const wanted = new Set(algorithms.map(keyTypeOf));
  if (keys.every(({ kty }) => !wanted.has(kty))) {
    const left = ignored.slice(0, 5).map(({ at, reason }) => `; ${at} ${reason}`);
    return `has no key for the rule's algorithms, which take keys of type ${[...wanted].join(", ")}${left.join("")}`;
  }
  return undefined;
}

/** RFC 7518 (3.1), RFC 8037 (3.1) */
function keyTypeOf(algorithm: SignatureAlgorithm): string {
  switch (algorithm) {
    case "RS256":
    case "RS384":
    case "RS512":
    case "PS256":
    case "PS384":
    case "PS512":
      return "RSA";
    case "ES256":
    case "ES384":
    case "ES512":
      return "EC";
    case "EdDSA":
      return "OKP";
    default:
      return algorithm satisfies never;
  }
}
