import { randomUUID } from "node:crypto";
import type { CloudReply } from "../cloud-endpoint.js";

/** A refusal in the words of ECR's JSON 1.1 protocol. */
export function ecrError(type: string, message: string): CloudReply {
  return ecrReply(400, { __type: type, message });
}

export function ecrReply(status: number, body: Record<string, unknown>): CloudReply {
  return {
    status,
    headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() },
    body: JSON.stringify(body),
  };
}
