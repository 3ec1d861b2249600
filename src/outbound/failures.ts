import { Problem } from "../core/problem.js";

/** Where a refused destination leads. The address itself is for the log only: it could tell a tenant about our network. */
export function destinationRefused(host: string, reason: string): Problem {
  return new Problem(
    "destination-refused",
    `${host} may not be called: it does not lead to a public address. ` +
      "If it is a registry of your own network, an operator can permit it with FACTORY_SECRETS_ALLOW_ADDRESSES.",
    { cause: new Error(`${host}: ${reason}`) },
  );
}

/** The upstream did not answer within `timeoutMs`, counted from the name lookup to the last byte. */
export function upstreamTimeout(host: string, timeoutMs: number): Problem {
  return new Problem("upstream-timeout", `${host} did not answer within ${timeoutMs / 1_000} s. Try again later.`);
}

/** Turns what went wrong below HTTP into a sentence. `error` goes to the log. */
export function transportProblem(host: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const code = errorCode(error);
  if (code.startsWith("HPE_")) {
    return new Problem("upstream-invalid", `${host} answered something that is not HTTP.`, { cause: error });
  }
  return new Problem("upstream-unreachable", `${host} cannot be reached: ${transportReason(code)}.${advice(code)}`, {
    cause: error,
  });
}

const unknownAuthority =
  "its certificate is signed by an unknown authority (an operator can add one with FACTORY_SECRETS_CA_FILE)";

const reasons: ReadonlyMap<string, string> = new Map([
  ["ENOTFOUND", "its name does not exist"],
  ["ENODATA", "its name has no address"],
  ["EAI_AGAIN", "its name cannot be resolved just now"],
  ["ECONNREFUSED", "it refuses connections"],
  ["ECONNRESET", "it closed the connection"],
  ["EPIPE", "it closed the connection"],
  ["UND_ERR_SOCKET", "it closed the connection"],
  ["EHOSTUNREACH", "there is no route to it"],
  ["ENETUNREACH", "there is no route to it"],
  ["CERT_HAS_EXPIRED", "its certificate has expired"],
  ["CERT_NOT_YET_VALID", "its certificate is not valid yet"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another host"],
  ["SELF_SIGNED_CERT_IN_CHAIN", unknownAuthority],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", unknownAuthority],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", unknownAuthority],
]);

function transportReason(code: string): string {
  return reasons.get(code) ?? (code === "" ? "the connection failed" : `the connection failed (${code})`);
}

// What is wrong with a certificate is not mended by another way to the same host.
function advice(code: string): string {
  if (/CERT|TLS|SIGNATURE/.test(code)) return "";
  return (
    " Check the region or host in the factory config, DNS and, if calls must go through a proxy," +
    " FACTORY_SECRETS_HTTPS_PROXY."
  );
}

function errorCode(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  // Several addresses were tried (RFC 8305): the code of the whole is that of its parts.
  return typeof error.code === "string" ? error.code : "";
}
