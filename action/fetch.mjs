import { readFileSync } from "node:fs";
import { get as httpGet } from "node:http";
import { get as httpsGet } from "node:https";
import { setTimeout as wait } from "node:timers/promises";
import { rootCertificates } from "node:tls";
import { Failure } from "./failure.mjs";

const pauseMs = 1_000;

/**
 * Fetches a file of the service, again while it is busy or down. Redirects are not followed: what is fetched is run.
 * @returns its bytes
 * @throws Failure
 */
export async function fetchFile(url, { accept, caFile, maxBytes, timeoutSeconds }) {
  const ca = authorities(caFile);
  const deadline = Date.now() + timeoutSeconds * 1_000;
  for (;;) {
    const { body, problem, isPassing } = await fetchOnce(url, { accept, ca, maxBytes, deadline });
    if (body) return body;
    if (!isPassing) throw new Failure(problem);
    if (Date.now() + pauseMs >= deadline) throw new Failure(`${problem} Tried for ${timeoutSeconds} s (timeout).`);
    await wait(pauseMs);
  }
}

async function fetchOnce(url, { accept, ca, maxBytes, deadline }) {
  const signal = AbortSignal.timeout(Math.max(deadline - Date.now(), 1));
  const options = { signal, headers: { accept, "user-agent": "factory-secrets-action" }, ...(ca && { ca }) };
  try {
    const response = await new Promise((resolve, reject) => {
      (url.startsWith("https:") ? httpsGet : httpGet)(url, options, resolve).once("error", reject);
    });
    if (response.statusCode === 200) return { body: await readBody(response, maxBytes) };
    response.destroy();
    return refusal(url, response);
  } catch (error) {
    if (error instanceof Failure) throw error;
    return silence(url, error, signal.aborted);
  }
}

async function readBody(response, maxBytes) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Failure("The answer is far too long to be one of this service. Is the url right?");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function refusal(url, { statusCode, headers }) {
  const isPassing = statusCode === 429 || statusCode >= 500;
  if (isPassing) return { isPassing, problem: `${url} answered ${statusCode}.` };
  const where = URL.canParse(headers.location ?? "", url)
    ? ` It redirects to ${new URL(headers.location, url).origin}.`
    : "";
  const why = "Is the url right, and was the service built with its command line (npm run build)?";
  return { isPassing, problem: `${url} answered ${statusCode}.${where} ${why}` };
}

function silence(url, error, isLate) {
  const { origin } = new URL(url);
  const code = typeof error?.code === "string" ? error.code : "the connection broke";
  if (code === "ENOTFOUND")
    return { isPassing: false, problem: `The name in ${origin} is not known here. Is the url right?` };
  // Node's and OpenSSL's names for a certificate that does not verify.
  if (/CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ERR_TLS|INVALID_CA/.test(code))
    return {
      isPassing: false,
      problem: `${origin} shows a certificate that is not trusted here (${code}). Give the authority that signed it as ca-file.`,
    };
  return { isPassing: true, problem: `${origin} does not answer (${isLate ? "not in time" : code}).` };
}

// Authorities that are given replace those that Node would use, NODE_EXTRA_CA_CERTS among them: all are named here.
function authorities(caFile) {
  if (caFile === "") return undefined;
  const extra = process.env.NODE_EXTRA_CA_CERTS;
  return [...rootCertificates, ...(extra ? [readText(extra, "NODE_EXTRA_CA_CERTS")] : []), readText(caFile, "ca-file")];
}

function readText(path, namedBy) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new Failure(`${namedBy} names a file that cannot be read: ${path}`);
  }
}
