import type { EventBody, IssuedFacts } from "../audit/events.js";
import type { Minted, MintRequest } from "./provider.js";
import type { TokenCache } from "./token-cache.js";

/** One kind of thing that the broker makes of a stored secret: made and kept in its own way. */
export type HeldProduct<T extends Minted> = {
  /** In the audit: `<name>.failed`, `<name>.refreshed`. */
  name: "registry-token" | "aws-credentials";
  cache: TokenCache<T>;
  mint(request: MintRequest): Promise<T>;
};

/** One that is handed out. */
export type Product<T extends Minted> = HeldProduct<T> & {
  /** The audit's event of one that is handed out. */
  issued(facts: IssuedFacts, token: T): EventBody;
};
