import { Agent, request } from "undici";
import type { BrokeredFactory } from "../broker/brokered-factory.js";
import { secretValue } from "../leak-watch.js";

/** A write that was answered with success: what must be there whatever happened. */
export type Acknowledged = { name: string; version: number; value: string };

export type Load = {
  acknowledged: Acknowledged[];
  /** How often each status was answered. */
  statuses: Map<number, number>;
  /** Ends every client after its request. @throws what a client met that is not an answer */
  stop(): Promise<void>;
};

const writers = 12;

/** Clients that write without a pause, two of them each name. */
export function startWriters({ service, factory }: BrokeredFactory, prefix: string): Load {
  const agent = new Agent({ connections: writers });
  const acknowledged: Acknowledged[] = [];
  const statuses = new Map<number, number>();
  let stopping = false;
  const write = async (client: number): Promise<void> => {
    while (!stopping) {
      const name = `${prefix}${client % (writers / 2)}`;
      const value = secretValue();
      const reply = await request(`${service.url}/v1/factories/${factory.name}/secrets/${name}`, {
        method: "PUT",
        dispatcher: agent,
        headers: { "osf-token": service.operatorToken, "content-type": "application/json" },
        body: JSON.stringify({ value }),
      });
      const text = await reply.body.text();
      statuses.set(reply.statusCode, (statuses.get(reply.statusCode) ?? 0) + 1);
      if (reply.statusCode < 300) acknowledged.push({ name, value, version: JSON.parse(text).version });
    }
  };
  const running = Promise.all(Array.from({ length: writers }, (_, client) => write(client)));
  // Looked at in `stop`, which comes later than a failure may.
  running.catch(() => undefined);
  return {
    acknowledged,
    statuses,
    async stop() {
      stopping = true;
      await running;
      await agent.close();
    },
  };
}
