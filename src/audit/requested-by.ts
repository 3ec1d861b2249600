import type { RequestFacts } from "../http/route.js";

/** Which request made an event happen, and from where it came. */
export type RequestedBy = { requestId: string; address: string };

/** What the audit remembers of a request. */
export const requestedBy = ({ id, address }: Pick<RequestFacts, "id" | "address">): RequestedBy => ({
  requestId: id,
  address,
});
