import type { IncomingHttpHeaders } from "node:http";
import { claimedService } from "../signature/read-signature.js";

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
