import type { RequestFacts } from "../http/route.js";

/** Which request made an event happen, and from where it came. */
export type RequestedBy = { requestId: string; clientRequestId?: string; address: string };

/** What the audit remembers of a request. */
export const requestedBy = ({
  id,
  clientId,
  address,
}: Pick<RequestFacts, "id" | "clientId" | "address">): RequestedBy => ({
  requestId: id,
  ...(clientId !== undefined && { clientRequestId: clientId }),
  address,
});
