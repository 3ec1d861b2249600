import type { RenderedError } from "../../core/error-shape.js";
import type { AwsProtocol } from "./aws-protocol.js";

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
