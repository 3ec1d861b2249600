import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { type ErrorShape, Problem, type ProblemCode, type RenderedError } from "../core/problem.js";

import { claimedService } from "./signature.js";

/**
 * What a call of any other service of AWS is told.
 * @param service - as the request was signed for: letters, digits and dashes
 */
export function otherService(service: string | undefined): Problem {
  const name = service === undefined ? "another service of AWS" : `"${service}"`;
  return new Problem(
    "not-offered",
    `This is factory-secrets, not AWS: it answers Amazon ECR's GetAuthorizationToken only, and this call is for ${name}. It came here because AWS_ENDPOINT_URL, or endpoint_url in ~/.aws, is set for all of AWS. Set AWS_ENDPOINT_URL_ECR instead, and make this call with other credentials.`,
  );
}

/** What a call of any other operation of Amazon ECR is told. */
export function otherOperation(): Problem {
  return new Problem(
    "not-offered",
    "Of Amazon ECR factory-secrets answers GetAuthorizationToken only. Use docker for images; for other calls use credentials of AWS, without AWS_ENDPOINT_URL_ECR.",
  );
}

/** Amazon ECR's names, and those that all services have in common. Clients try again after some of them. */
const names: Partial<Record<ProblemCode, string>> = {
  unauthenticated: "UnrecognizedClientException",
  "signature-refused": "InvalidSignatureException",
  "not-offered": "AccessDeniedException",
  forbidden: "AccessDeniedException",
  "outside-grants": "AccessDeniedException",
  "destination-not-approved": "AccessDeniedException",
  "malformed-body": "SerializationException",
  "too-many-requests": "ThrottlingException",
  "upstream-throttled": "ThrottlingException",
};

/** The name of a problem in AWS's words. */
function awsErrorName({ code, status }: Pick<Problem, "code" | "status">): string {
  return names[code] ?? (status >= 500 ? "ServerException" : "InvalidParameterException");
}

/** What the cloud makes of the stored credential it will say again: no client should try that four times over. */
const lasting: readonly ProblemCode[] = ["upstream-refused", "upstream-invalid"];

/** AWS says 403 to who is not let in: some HTTP clients make more of a 401 than is meant. */
function awsStatus({ code, status }: Pick<Problem, "code" | "status">): number {
  if (status === 401) return 403;
  return lasting.includes(code) ? 400 : status;
}

/**
 * How errors are told to a program of AWS's, so that it prints them: as the service that it means to talk to would. With an
 * `endpoint_url` for all of AWS any service's calls come here, at any path: these are told that it is not offered here.
 * @returns `undefined` for every other client
 */
export function awsErrorShapeOf({ headers }: Pick<IncomingMessage, "headers">): ErrorShape | undefined {
  const request = awsRequestOf(headers);
  return request && shapeFor(request);
}

function shapeFor({ protocol, service, isForEcr }: AwsRequest): ErrorShape {
  return (problem, requestId) => {
    const told = isForEcr ? problem : otherService(service);
    return renderAwsError(protocol, {
      name: awsErrorName(told),
      status: awsStatus(told),
      message: told.detail,
      requestId,
    });
  };
}

/** How a service of AWS speaks on the wire; each has an error shape of its own. */
export type AwsProtocol =
  | "json-1.0"
  | "json-1.1"
  | "query"
  | "ec2-query"
  | "rest-xml"
  | "s3"
  | "rest-json"
  | "rpc-v2-cbor";

/** What a request to AWS says of itself in its headers. */
export type AwsRequest = {
  protocol: AwsProtocol;
  /** As it is signed for; `undefined` when it is not signed. */
  service: string | undefined;
  isForEcr: boolean;
};

/** Amazon ECR's targets begin with it. */
export const ecrTargetPrefix = "AmazonEC2ContainerRegistry_V20150921.";

/** Signed for `s3`, or for what has its errors from there. */
const s3Services: readonly string[] = ["s3", "s3express", "s3-object-lambda", "s3-outposts"];
const restXmlServices: readonly string[] = ["cloudfront", "route53"];

/**
 * What a request says that a program of AWS's makes; `undefined` for any other. An SDK signs what it sends, names an
 * operation in `X-Amz-Target`, or numbers its tries in `amz-sdk-invocation-id` (unsigned calls of STS and Cognito).
 * Source: the Smithy specification's AWS protocols.
 */
export function awsRequestOf(headers: IncomingHttpHeaders): AwsRequest | undefined {
  const { authorization } = headers;
  const target = textOf(headers["x-amz-target"]);
  const isSigned = authorization?.startsWith("AWS4-") === true;
  if (!isSigned && target === undefined && headers["amz-sdk-invocation-id"] === undefined) return undefined;
  const service = isSigned ? claimedService(authorization) : undefined;
  const isForEcr = service === undefined ? target?.startsWith(ecrTargetPrefix) === true : service === "ecr";
  return { protocol: protocolOf(headers, service, target !== undefined), service, isForEcr };
}

function protocolOf(headers: IncomingHttpHeaders, service: string | undefined, hasTarget: boolean): AwsProtocol {
  const mediaType = headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (textOf(headers["smithy-protocol"]) === "rpc-v2-cbor") return "rpc-v2-cbor";
  if (mediaType === "application/x-amz-json-1.0") return "json-1.0";
  if (hasTarget || mediaType === "application/x-amz-json-1.1") return "json-1.1";
  if (mediaType === "application/x-www-form-urlencoded") return service === "ec2" ? "ec2-query" : "query";
  if (service !== undefined && s3Services.includes(service)) return "s3";
  return service !== undefined && restXmlServices.includes(service) ? "rest-xml" : "rest-json";
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** An error in AWS's words, for whichever protocol. */
export type AwsError = { name: string; status: number; message: string; requestId: string };

/**
 * An error as a service of that protocol sends it.
 * Source: the Smithy specification's AWS protocols; Amazon S3 API Reference, "Error responses"; Amazon EC2 API Reference,
 * "Error codes".
 */
export function renderAwsError(protocol: AwsProtocol, error: AwsError): RenderedError {
  const { status, message, requestId } = error;
  // The query protocols and S3 leave "Exception" off.
  const code = error.name.replace(/Exception$/, "");
  const ids = { "x-amzn-RequestId": requestId };
  switch (protocol) {
    case "json-1.0":
    case "json-1.1":
      return {
        status,
        headers: { ...ids, "Content-Type": `application/x-amz-${protocol}` },
        body: JSON.stringify({ __type: error.name, message }),
      };
    case "rest-json":
      return {
        status,
        headers: { ...ids, "Content-Type": "application/json", "x-amzn-ErrorType": error.name },
        body: JSON.stringify({ message }),
      };
    case "rpc-v2-cbor":
      return {
        status,
        headers: { ...ids, "Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor" },
        body: cborTexts([
          ["__type", error.name],
          ["message", message],
        ]),
      };
    case "query":
    case "rest-xml":
      return xml(
        { status, headers: ids },
        `<ErrorResponse><Error><Type>Sender</Type>${element("Code", code)}${element("Message", message)}</Error>${element("RequestId", requestId)}</ErrorResponse>`,
      );
    case "ec2-query":
      return xml(
        { status, headers: ids },
        `<Response><Errors><Error>${element("Code", code)}${element("Message", message)}</Error></Errors>${element("RequestID", requestId)}</Response>`,
      );
    case "s3":
      return xml(
        { status, headers: { "x-amz-request-id": requestId } },
        `<Error>${element("Code", code)}${element("Message", message)}${element("RequestId", requestId)}</Error>`,
      );
    default:
      return protocol satisfies never;
  }
}

function xml(start: { status: number; headers: Record<string, string> }, root: string): RenderedError {
  const headers = { ...start.headers, "Content-Type": "text/xml" };
  return { status: start.status, headers, body: `<?xml version="1.0" encoding="UTF-8"?>\n${root}` };
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function element(name: string, text: string): string {
  return `<${name}>${text.replace(/[&<>"]/g, (mark) => entities[mark] ?? mark)}</${name}>`;
}

/** A map of a few short texts to texts of less than 64 KiB, in CBOR (RFC 8949). */
function cborTexts(members: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat([Buffer.of(0xa0 + members.length), ...members.flat().map(cborText)]);
}

function cborText(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  const head = Buffer.of(0x79, bytes.length >> 8, bytes.length & 0xff);
  return Buffer.concat([head, bytes]);
}
