import type { OutboundReply } from "../../outbound/outbound.js";
import type { CloudOutbound } from "./cloud-hosts.js";

/** POST of a form, as OAuth has it. */
export function postForm(
  outbound: CloudOutbound,
  request: { signal: AbortSignal },
  url: string,
  fields: Readonly<Record<string, string>>,
): Promise<OutboundReply> {
  return outbound.request({
    url,
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields).toString(),
    signal: request.signal,
  });
}
