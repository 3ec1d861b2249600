import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.js";
import { type CloudReply, type CloudRequest, formOf, headerOf } from "../cloud-endpoint.js";
import type { IamDirectory, Principal } from "./iam-directory.js";
import { QueryError } from "./query-error.js";
import { type SignatureVerdict, verifySigV4 } from "./verify-sigv4.js";

/** A service that speaks AWS's query protocol: a form with `Action` and `Version`, answered in XML. */
export type QueryService = {
  iam: IamDirectory;
  clock: Clock;
  service: "sts" | "iam";
  region: string;
  version: string;
  /** The content of `<ActionResult>`. @throws QueryError */
  resultOf(caller: Principal, action: string, form: URLSearchParams): string;
};

/** Answers one request. The signature is recomputed, and the session's end looked at. */
export function answerQuery(service: QueryService, request: CloudRequest): CloudReply {
  try {
    if (request.method !== "POST" || request.path !== "/") {
      throw new QueryError(404, "UnknownOperationException", "POST / is expected.");
    }
    const caller = authenticate(service, request);
    const form = formOf(request);
    if (form.get("Version") !== service.version) {
      throw new QueryError(400, "InvalidAction", `The version is not ${service.version}.`);
    }
    const action = form.get("Action") ?? "";
    const result = element(`${action}Result`, service.resultOf(caller, action, form));
    return xmlReply(service, 200, `${action}Response`, [
      result,
      element("ResponseMetadata", element("RequestId", randomUUID())),
    ]);
  } catch (error) {
    if (error instanceof QueryError) return queryError(service, error);
    throw error;
  }
}

function authenticate({ iam, clock, service, region }: QueryService, request: CloudRequest): Principal {
  const verdict = verifySigV4(request, { service, region, now: clock.now(), keyOf: (id) => iam.keyOf(id) });
  if (!verdict.ok) throw signatureError(verdict);
  const key = iam.keyOf(verdict.accessKeyId);
  if (key === undefined)
    throw new QueryError(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
  if (iam.hasExpired(key.principal))
    throw new QueryError(403, "ExpiredToken", "The security token included in the request is expired");
  if (headerOf(request, "content-type")?.startsWith("application/x-www-form-urlencoded") !== true) {
    throw new QueryError(400, "MalformedInput", "A form is expected.");
  }
  return key.principal;
}

function signatureError(verdict: SignatureVerdict & { ok: false }): QueryError {
  switch (verdict.reason) {
    case "missing":
      return new QueryError(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
    case "incomplete":
      return new QueryError(400, "IncompleteSignature", verdict.message);
    case "unknown-key":
      return new QueryError(403, "InvalidClientTokenId", verdict.message);
    case "mismatch":
    case "too-old":
      return new QueryError(403, "SignatureDoesNotMatch", verdict.message);
    default:
      return verdict.reason satisfies never;
  }
}

/** A refusal in the words of the query protocol. */
export function queryError(service: { service: string; version: string }, error: QueryError): CloudReply {
  const fields = [element("Type", "Sender"), element("Code", error.code), element("Message", escapeXml(error.message))];
  return xmlReply(service, error.status, "ErrorResponse", [
    element("Error", fields.join("")),
    element("RequestId", randomUUID()),
  ]);
}

function xmlReply(
  { service, version }: { service: string; version: string },
  status: number,
  root: string,
  children: readonly string[],
): CloudReply {
  return {
    status,
    headers: { "content-type": "text/xml", "x-amzn-requestid": randomUUID() },
    body: `<${root} xmlns="https://${service}.amazonaws.com/doc/${version}/">${children.join("")}</${root}>`,
  };
}

export function element(name: string, content: string): string {
  return `<${name}>${content}</${name}>`;
}

export function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
