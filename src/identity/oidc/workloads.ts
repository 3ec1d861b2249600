import type { Caller } from "../caller.js";
import { invalidCredential } from "../invalid-credential.js";
import type { StoredCaller } from "../store.js";

/** Those who come with an ID token of another issuer, and what the trust rules of a factory make of them. */
export class Workloads {
  /** @throws Problem `unauthenticated` when the token is not valid, or matches no rule of that factory */
  async authenticate(_token: string, _factory: string | undefined): Promise<Caller> {
    throw invalidCredential();
  }

  /** Whether this caller came with the ID token itself, and not with a token of ours that was exchanged for it. */
  hasOwnToken(_caller: Caller): boolean {
    return false;
  }

  /** Judges the caller's ID token by the rules of now. @throws Problem `unauthenticated` */
  async readAgain(_caller: Caller): Promise<Caller> {
    throw invalidCredential();
  }

  /** What the session of an exchanged token is worth by the rules of now; `undefined` when nothing. */
  async resume(_stored: StoredCaller): Promise<StoredCaller | undefined> {
    return undefined;
  }
}
