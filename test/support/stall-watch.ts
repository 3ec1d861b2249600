import { expect } from "vitest";
import { FarClient } from "./longest-hold.js";
import type { TestService } from "./test-service.js";

/** No request holds the event loop longer: all others wait that long, those that ask whether the service lives too. */
export const mostMs = 25;

const maxTries = 8;

export type Sent = {
  method: string;
  path: string;
  type?: string;
  body?: string;
  headers?: Record<string, string>;
  /** Instead of the operator's; `""` for none. */
  token?: string;
};

/** Sends requests to a service in this process, and watches how long each holds its event loop. */
export class StallWatch {
  readonly #client = new FarClient();
  readonly #service: Pick<TestService, "url" | "operatorToken">;

  constructor(service: Pick<TestService, "url" | "operatorToken">) {
    this.#service = service;
  }

  send({ method, path, type = "application/json", body, headers = {}, token = this.#service.operatorToken }: Sent) {
    const credential = token === "" ? {} : { "OSF-TOKEN": token };
    return this.#client.send({
      method,
      url: this.#service.url + path,
      headers: { ...credential, "Content-Type": type, Accept: "application/json", ...headers },
      ...(body !== undefined && { body }),
    });
  }

  /**
   * Expects that the service stays awake while it answers. The least of a few tries counts: the machine may be busy with
   * other things, and what runs for the first time is compiled in the meantime.
   */
  async expectNoStall(what: string, sent: Sent, statuses?: readonly number[], limitMs = mostMs): Promise<void> {
    const holds: number[] = [];
    while (holds.length < maxTries && Math.min(...holds) >= limitMs) {
      const { status, text, longestHoldMs } = await this.send(sent);
      if (statuses) expect(statuses, `${what}: ${text.slice(0, 300)}`).toContain(status);
      expect(status, `${what}: ${text.slice(0, 300)}`).not.toBe(500);
      holds.push(Math.round(longestHoldMs));
    }
    expect(Math.min(...holds), `${what}: ${holds.join(", ")} ms`).toBeLessThan(limitMs);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
