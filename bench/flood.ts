// `node --import tsx bench/flood.ts`: what a flood of bad tokens costs the server, what it costs its sender, and what a
// good caller behind the same address notices of it. Linux only: the server's CPU time is read from /proc.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, realpath } from "node:fs/promises";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { buildService, removeServiceDirectory, startService } from "../demo/throw-away-service.js";
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

/** Floods the server for some seconds, and does something meanwhile. */
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

/** How long a good caller waits, who asks every 5 ms. */
async function goodCaller(url: string, token: string, agent: Agent): Promise<number> {
  const times: number[] = [];
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      const call = get(`${url}/v1/whoami`, { agent, headers: { "osf-token": token } }, (reply) => {
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
  const agent = new Agent({ keepAlive: true });
  const nothing = () => undefined;
  // From then on it is known, and goes through beside the flood.
  await goodCaller(service.url, operatorToken, agent);
  for (const kind of ["well-formed", "malformed"]) {
    for (const client of ["by-hand", "http-client"]) {
      const runs = [];
      for (let round = 0; round < rounds; round += 1) runs.push(await flood(service, kind, client, nothing));
      const [server, sender] = [median(runs.map((run) => run.server)), median(runs.map((run) => run.sender))];
      console.log(`${kind} ${client}: server ${server.toFixed(0)} us, sender ${sender.toFixed(0)} us of CPU a request`);
      console.log(`  ${JSON.stringify(runs.at(-1)?.statuses)}`);
    }
  }
  const [quiet, flooded]: number[][] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    quiet?.push(await goodCaller(service.url, operatorToken, agent));
    const { done } = await flood(service, "well-formed", "http-client", () =>
      goodCaller(service.url, operatorToken, agent),
    );
    flooded?.push(await done);
  }
  console.log(
    `a good caller waits ${median(quiet ?? []).toFixed(2)} ms, beside the flood ${median(flooded ?? []).toFixed(2)} ms`,
  );
} finally {
  await service.stop();
  await removeServiceDirectory(directory);
}
process.exit(0);
