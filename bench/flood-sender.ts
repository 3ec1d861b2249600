// A process of its own, so that its CPU time is what a flood costs anyone who sends it. Waits for a line on standard input,
// floods, and prints what it did as JSON. Arguments: URL, what kind of token, which client (by-hand,
// http-client or device), seconds.
import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { connect as connectTls, createSecureContext } from "node:tls";
import { createToken } from "../src/identity/token.js";
import { makeDevice, makeRoot } from "../test/support/devices/device-certificates.js";

const [url = "", kind = "", client = "", seconds = "1"] = process.argv.slice(2);
const { hostname, port, host } = new URL(url);
const connections = 500;
const tokens = Array.from({ length: 500 }, () => (kind === "well-formed" ? createToken("job") : "fsj_not-a-token"));
const statuses = new Map<string, number>();
let sent = 0;

const nextToken = () => {
  sent += 1;
  return tokens[sent % tokens.length] ?? "";
};
const count = (status: string) => statuses.set(status, (statuses.get(status) ?? 0) + 1);

/** The least that a sender can do: bytes made beforehand, and nothing read but the first line. A refusal closes. */
async function floodByHand(until: number): Promise<void> {
  const texts = new Map(
    tokens.map((token) => [token, `GET /v1/whoami HTTP/1.1\r\nHost: ${host}\r\nOSF-TOKEN: ${token}\r\n\r\n`]),
  );
  while (performance.now() < until) {
    const socket = connect(Number(port), hostname).setEncoding("latin1");
    socket.write(texts.get(nextToken()) ?? "");
    const [text] = await once(socket, "data");
    count(String(text).slice(9, 12));
    socket.destroy();
  }
}

/** An ordinary HTTP client. */
async function floodByClient(until: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  while (performance.now() < until) {
    const headers = { "osf-token": nextToken() };
    await new Promise<void>((resolve, reject) => {
      const call = request({ agent, hostname, port, path: "/v1/whoami", headers }, (reply) => {
        count(String(reply.statusCode));
        reply.resume().on("end", resolve);
      });
      call.on("error", reject).end();
    });
  }
  agent.destroy();
}

const stranger = await makeDevice(await makeRoot(), "bench");
const shown = createSecureContext({ cert: stranger.pem, key: stranger.keyPem });

/** A device that no one knows. It verifies nothing of the server. */
async function floodByDevice(until: number): Promise<void> {
  while (performance.now() < until) {
    sent += 1;
    const target = { port: Number(port), host: hostname, secureContext: shown, rejectUnauthorized: false };
    const socket = connectTls(target)
      .setEncoding("latin1")
      .on("error", () => undefined);
    socket.write(`GET /v1/whoami HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    let status = "no handshake";
    socket.once("data", (text) => {
      status = String(text).slice(9, 12);
      socket.destroy();
    });
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
    count(status);
  }
}

const floods = new Map([
  ["by-hand", floodByHand],
  ["http-client", floodByClient],
  ["device", floodByDevice],
]);

console.log("ready");
await once(process.stdin, "data");
const before = process.cpuUsage();
const until = performance.now() + Number(seconds) * 1000;
await Promise.all(Array.from({ length: connections }, () => floods.get(client)?.(until)));
const { user, system } = process.cpuUsage(before);
console.log(
  JSON.stringify({ requests: sent, cpuSeconds: (user + system) / 1e6, statuses: Object.fromEntries(statuses) }),
);
process.exit(0);
