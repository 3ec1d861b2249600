// `node --import tsx bench/flood.ts`: what a flood of bad tokens, and of bad certificates, costs the server, what it costs
// its sender, and what a good caller behind the same address notices of it. Linux only: the server's CPU time is read from /proc.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, realpath } from "node:fs/promises";
import { Agent, get, type IncomingMessage, type RequestOptions } from "node:http";
import { get as getByTls, Agent as TlsAgent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { createApi, expectStatus } from "../demo/api-client.js";
import { buildService, removeServiceDirectory, startService } from "../demo/throw-away-service.js";
import { startDeviceReplica } from "./device-replica.js";
import { median } from "./measure-load.js";

const seconds = 5;
const rounds = 3;
/** As /proc counts CPU time. */
const ticksPerSecond = 100;
const Flooded = z.object({ requests: z.number(), cpuSeconds: z.number(), statuses: z.record(z.string(), z.number()) });
const senderProgram = fileURLToPath(new URL("flood-sender.ts", import.meta.url));

async function cpuSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  const [user = "", system = ""] = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) / ticksPerSecond;
}

/** Floods the server for some seconds, and does something in the meantime. */
async function flood<T>(service: { url: string; pid: number }, kind: string, client: string, meanwhile: () => T) {
  const args = ["--import", "tsx", senderProgram, service.url, kind, client, String(seconds)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(child.stdout);
  await once(lines, "line");
  const before = await cpuSeconds(service.pid);
  child.stdin.write("go\n");
  const [done, [line]] = await Promise.all([meanwhile(), once(lines, "line")]);
  const serverSeconds = (await cpuSeconds(service.pid)) - before;
  const { requests, cpuSeconds: senderSeconds, statuses } = Flooded.parse(JSON.parse(String(line)));
  const each = (total: number) => (total / requests) * 1e6;
  return { requests, server: each(serverSeconds), sender: each(senderSeconds), statuses, done };
}

async function report(service: { url: string; pid: number }, kind: string, client: string): Promise<void> {
  const runs = [];
  for (let round = 0; round < rounds; round += 1) runs.push(await flood(service, kind, client, () => undefined));
  const [server, sender] = [median(runs.map((run) => run.server)), median(runs.map((run) => run.sender))];
  console.log(`${kind} ${client}: server ${server.toFixed(0)} us, sender ${sender.toFixed(0)} us of CPU a request`);
  console.log(`  ${JSON.stringify(runs.at(-1)?.statuses)}`);
}

/** How long a good caller waits without the flood, and beside it. */
async function compareWaits(service: { url: string; pid: number }, client: string, options: RequestOptions) {
  const [quiet, flooded]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    quiet.push(await goodCaller(service.url, options));
    const { done } = await flood(service, "well-formed", client, () => goodCaller(service.url, options));
    flooded.push(await done);
  }
  const [alone, beside] = [median(quiet), median(flooded)];
  console.log(`a good caller waits ${alone.toFixed(2)} ms, beside the flood ${beside.toFixed(2)} ms`);
}

/** How long a good caller waits, who asks every 5 ms. */
async function goodCaller(url: string, options: RequestOptions): Promise<number> {
  const ask = (onReply: (reply: IncomingMessage) => void) =>
    url.startsWith("https:")
      ? getByTls(`${url}/v1/whoami`, options, onReply)
      : get(`${url}/v1/whoami`, options, onReply);
  const times: number[] = [];
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      const call = ask((reply) => {
        if (reply.statusCode !== 200) reject(new Error(`A good caller was answered ${reply.statusCode}.`));
        reply.resume().on("end", resolve);
      });
      call.on("error", reject);
    });
    times.push(performance.now() - startedAt);
    await sleep(5);
  }
  return median(times);
}

await buildService();
const directory = await realpath(await mkdtemp(join(tmpdir(), "factory-secrets-flood-")));
await chmod(directory, 0o755);
const service = await startService(directory);
try {
  const { operatorToken = "" } = service;
  const good = { agent: new Agent({ keepAlive: true }), headers: { "osf-token": operatorToken } };
  // From then on it is known, and goes through beside the flood.
  await goodCaller(service.url, good);
  for (const kind of ["well-formed", "malformed"]) {
    for (const client of ["by-hand", "http-client"]) await report(service, kind, client);
  }
  await compareWaits(service, "http-client", good);
  const api = createApi(service.url);
  expectStatus(await api(operatorToken, "/v1/factories", { body: { name: "bench" } }), 201);
  const { signal: interrupted } = new AbortController();
  const devices = await startDeviceReplica(api, operatorToken, { directory, environment: {}, interrupted });
  try {
    await report(devices, "certificate", "device");
    // Once a device was accepted there, the address gets handshakes beside its flood.
    const agent = new TlsAgent({ keepAlive: true, ...devices.tls });
    await sleep(60_000);
    await goodCaller(devices.url, { agent });
    await report(devices, "certificate beside a good device", "device");
    await compareWaits(devices, "device", { agent });
  } finally {
    await devices.stop();
  }
} finally {
  await service.stop();
  await removeServiceDirectory(directory);
}
process.exit(0);
