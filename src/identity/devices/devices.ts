import type { IncomingMessage } from "node:http";
import type { Caller } from "../caller.js";
import { invalidCredential } from "../invalid-credential.js";

/** Those who come with a client certificate. */
export class Devices {
  /**
   * @returns the device, or `undefined` when no certificate was presented
   * @throws Problem `unauthenticated` when it is refused
   */
  async authenticate(_request: IncomingMessage): Promise<Caller | undefined> {
    return undefined;
  }

  /** Checks the device's certificate by the authorities of now. @throws Problem `unauthenticated` */
  async readAgain(_caller: Caller): Promise<Caller> {
    throw invalidCredential();
  }
}
