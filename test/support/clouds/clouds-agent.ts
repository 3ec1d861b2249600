import { Agent } from "node:https";
import { connect } from "node:tls";
import type { StandInClouds } from "./start-stand-in-clouds.js";

/** An agent that verifies the real host names and reaches the stand-ins. */
export function agentFor(clouds: Pick<StandInClouds, "caPem" | "port">): Agent {
  const agent = new Agent({ ca: clouds.caPem, keepAlive: false });
  agent.createConnection = (options) =>
    connect({ ca: clouds.caPem, servername: options.host ?? "", host: "127.0.0.1", port: clouds.port });
  return agent;
}
