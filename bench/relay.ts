// `npm run bench:relay`: what the relay costs beside a bare pipe from undici to `http`, and a manifest from its memory
// beside bare Express and the registry itself. Linux only: processor time and memory are read from /proc.
import { chmod, mkdtemp, readFile, realpath, writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { buildService, removeServiceDirectory, startService } from "../demo/throw-away-service.js";
import { startHelper } from "./helper-process.js";
import { type Load, measureLoad, median } from "./measure-load.js";
import { openRelayFactory, RelayedRegistry } from "./relay-factory.js";
import { registryHost } from "./relay-names.js";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "4" }, mib: { type: "string", default: "512" } },
});
const rounds = Number(options.rounds);
const sizeMib = Number(options.mib);
const atOnce = 8;
/** As /proc counts processor time. */
const ticksPerSecond = 100;

const cleanUps: (() => Promise<unknown>)[] = [];
const peer = async <S extends z.ZodType>(shape: S, ...args: string[]): Promise<z.output<S>> => {
  const file = fileURLToPath(new URL("relay-peer.ts", import.meta.url));
  const helper = await startHelper(["--import", "tsx", file, ...args]);
  cleanUps.push(() => helper.stop());
  return shape.parse(JSON.parse(helper.firstLine));
};

type Server = { url: string; pid: number; headers: Record<string, string>; prefix: string };

async function prepare() {
  await buildService();
  const directory = await realpath(await mkdtemp(join(tmpdir(), "factory-secrets-relay-")));
  cleanUps.push(() => removeServiceDirectory(directory));
  await chmod(directory, 0o755);
  const at = z.object({ port: z.number(), pid: z.number() });
  const registry = await peer(RelayedRegistry, "registry", String(sizeMib));
  const caFile = join(directory, "authority.pem");
  await writeFile(caFile, registry.caPem);
  const pipe = await peer(at, "pipe", String(registry.port), caFile);
  const service = await startService(directory, {
    environment: {
      FACTORY_SECRETS_CONNECT_TO: `${registryHost}:443=127.0.0.1:${registry.port}`,
      FACTORY_SECRETS_CA_FILE: caFile,
      FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "1000000",
    },
  });
  cleanUps.push(() => service.stop());
  const token = await openRelayFactory(service.url, service.operatorToken ?? "", "bench");
  const bare = await startHelper([
    fileURLToPath(new URL("bare-express.mjs", import.meta.url)),
    String(registry.manifestBytes),
  ]);
  cleanUps.push(() => bare.stop());
  const relay: Server = {
    url: service.url,
    pid: service.pid,
    headers: { authorization: `Bearer ${token}` },
    prefix: `/v2/bench/${registryHost}`,
  };
  const piped: Server = { url: `http://127.0.0.1:${pipe.port}`, pid: pipe.pid, headers: {}, prefix: "/v2" };
  return { relay, piped, bareUrl: `http://127.0.0.1:${bare.firstLine}`, registry };
}

const agent = new Agent({ keepAlive: true });

/** Pulls the layer to its end, and throws it away. */
async function pull({ url, prefix, headers }: Server, blob: string): Promise<void> {
  const bytes = await new Promise<number>((resolve, reject) => {
    const asked = get(`${url}${prefix}/team/app/blobs/${blob}`, { agent, headers }, (reply) => {
      let received = 0;
      reply.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      reply.on("end", () => resolve(received)).on("error", reject);
    });
    asked.on("error", reject);
  });
  if (bytes !== sizeMib * 1024 * 1024) throw new Error(`The layer came with ${bytes} bytes.`);
}

/** MiB a second, and seconds of processor for each GiB. */
async function measurePull(server: Server, blob: string, times: number) {
  const before = await cpuSeconds(server.pid);
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: times }, () => pull(server, blob)));
  const seconds = (performance.now() - startedAt) / 1_000;
  const gib = (sizeMib * times) / 1_024;
  return { mibPerSecond: (sizeMib * times) / seconds, cpuPerGib: ((await cpuSeconds(server.pid)) - before) / gib };
}

async function cpuSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function rssMib(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1]) / 1_024;
}

/** The most memory that the process takes while `work` goes on, beyond what it had. */
async function addedMib(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = await rssMib(pid);
  let most = before;
  const watch = setInterval(async () => {
    most = Math.max(most, await rssMib(pid));
  }, 50);
  await work().finally(() => clearInterval(watch));
  return most - before;
}

try {
  const { relay, piped, bareUrl, registry } = await prepare();
  const { blob, digest } = registry;
  const pulls: { relayed: number; piped: number; relayedCpu: number; pipedCpu: number }[] = [];
  // Before anything else is pulled, so that all that the first layers take is counted.
  const added = await addedMib(relay.pid, () => measurePull(relay, blob, atOnce));
  const addedByPipe = await addedMib(piped.pid, () => measurePull(piped, blob, atOnce));
  console.log(
    `${atOnce} at once add ${added.toFixed(0)} MiB to the relay (RSS), ${addedByPipe.toFixed(0)} to the bare pipe`,
  );
  for (let round = 0; round < rounds; round += 1) {
    const relayed = await measurePull(relay, blob, 1);
    const bare = await measurePull(piped, blob, 1);
    pulls.push({
      relayed: relayed.mibPerSecond,
      piped: bare.mibPerSecond,
      relayedCpu: relayed.cpuPerGib,
      pipedCpu: bare.cpuPerGib,
    });
  }
  const of = (pick: (one: (typeof pulls)[number]) => number): number => median(pulls.map(pick));
  console.log(`a layer of ${sizeMib} MiB, one at a time, medians of ${rounds} rounds:`);
  console.log(
    `  relay ${of((p) => p.relayed).toFixed(0)} MiB/s, ${of((p) => p.relayedCpu).toFixed(2)} s of processor a GiB`,
  );
  console.log(
    `  bare pipe ${of((p) => p.piped).toFixed(0)} MiB/s, ${of((p) => p.pipedCpu).toFixed(2)} s of processor a GiB`,
  );
  console.log(`  ratio ${of((p) => p.relayed / p.piped).toFixed(2)}`);
  const manifest = `${relay.prefix}/team/app/manifests/${digest}`;
  const load = (url: string, path: string, headers: Record<string, string>): Load => ({
    url,
    next: () => ({ method: "GET", path, headers }),
  });
  const subjects = {
    "bare Express": load(bareUrl, "/", {}),
    "the registry through the bare pipe": load(piped.url, `/v2/team/app/manifests/${digest}`, {}),
    "a manifest from memory, with its audit row": load(relay.url, manifest, relay.headers),
  };
  for (const [name, one] of Object.entries(subjects)) {
    await measureLoad(one, { connections: 16, seconds: 2 });
    const measured = [];
    for (let round = 0; round < rounds; round += 1) {
      const { perSecond } = await measureLoad(one, { connections: 16, seconds: 2 });
      measured.push(perSecond);
    }
    console.log(`${name}: ${median(measured).toFixed(0)} requests/s`);
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
for (const undo of cleanUps.reverse()) await undo().catch((error: unknown) => console.error(error));
process.exit();
