// `npm run bench`: starts everything itself, prints the results and writes them to bench/results.md.
// `-- --rounds 1 --seconds 1` for a quick look (not written), `--only "a warm token"`, `--profile DIR` for a CPU profile.
import { chmod, mkdtemp, realpath, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { type Api, createApi, expectStatus } from "../demo/api-client.js";
import { aws } from "../demo/stand-in-accounts.js";
import { buildService, type RunningService, removeServiceDirectory, startService } from "../demo/throw-away-service.js";
import { type Comparison, compare, type Subject } from "./compare.js";
import { startDeviceReplica } from "./device-replica.js";
import { startHelper } from "./helper-process.js";
import { type Load, measureLoad, median } from "./measure-load.js";
import { openSession, signIdToken } from "./other-callers.js";
import { createLoads, openApiToken, openJob, prepareFactory, tokenRequest } from "./prepare-factory.js";
import { type Memory, readMemory } from "./read-memory.js";
import { RelayedRegistry, relayLoads } from "./relay-factory.js";
import { registryHost } from "./relay-names.js";
import { type Results, renderReport } from "./report.js";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "4" },
    seconds: { type: "string", default: "2" },
    only: { type: "string", default: "" },
    profile: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const isWholeRun = process.argv.length === 2;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const say = (text: string) => console.error(text);
const cleanUps: (() => Promise<void>)[] = [];
const interruption = new AbortController();

const jobsAtOnce = 1_000;
const starts = 5;

async function bench(): Promise<Results> {
  const [loadBefore = 0] = loadavg();
  await buildService();
  const directory = await realpath(await mkdtemp(join(tmpdir(), "factory-secrets-bench-")));
  cleanUps.push(() => removeServiceDirectory(directory));
  // As root, Postgres runs under another account, which has to be able to enter.
  await chmod(directory, 0o755);
  const { environment, registry } = await startClouds(directory);
  say("First run and start-up ...");
  const first = await start(directory, environment);
  const { operatorToken } = first;
  if (operatorToken === undefined) throw new Error("The first start printed no operator token.");
  await prepareFactory(createApi(first.url), operatorToken);
  await first.stop();
  const { service, startMs } = await startAgain(directory, environment);
  await sleep(2_000);
  const atRest = await readMemory(service.pid, directory);
  const api = createApi(service.url);
  say(`${jobsAtOnce} jobs at once ...`);
  const burst = await runBurst(api, service.url, operatorToken);
  const watch = watchMemory(service.pid, directory);
  const replicaOf = { directory, environment, interrupted: interruption.signal };
  const device = await startDeviceReplica(api, operatorToken, replicaOf);
  cleanUps.push(() => device.stop());
  const { comparisons, replyBytes } = await runComparisons(api, {
    ...{ url: service.url, operatorToken, device },
    relayed: await relayLoads(service.url, operatorToken, registry),
  });
  const memory = { atRest, underLoad: await watch.most() };
  return {
    comparisons,
    replyBytes,
    loadBefore,
    rounds,
    secondsEach: seconds,
    burst,
    firstRunMs: first.readyAfterMs,
    startMs,
    memory,
  };
}

async function startClouds(directory: string) {
  const clouds = await startHelper(["--import", "tsx", here("stand-in-cloud.ts")]);
  cleanUps.push(() => clouds.stop());
  const { connectTo, caPem } = z
    .object({ connectTo: z.string(), caPem: z.string() })
    .parse(JSON.parse(clouds.firstLine));
  const peer = await startHelper(["--import", "tsx", here("relay-peer.ts"), "registry", "1"]);
  cleanUps.push(() => peer.stop());
  const registry = RelayedRegistry.parse(JSON.parse(peer.firstLine));
  const authorities = join(directory, "stand-in-authority.pem");
  await writeFile(authorities, `${caPem}\n${registry.caPem}`);
  const environment: Record<string, string> = {
    FACTORY_SECRETS_CONNECT_TO: `${connectTo},${registryHost}:443=127.0.0.1:${registry.port}`,
    FACTORY_SECRETS_CA_FILE: authorities,
    // One caller asks for everything. The limit counts, but lets it.
    FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "1000000",
    FACTORY_SECRETS_RELAY_MAX_STREAMS_PER_CALLER: "100",
  };
  return { environment, registry };
}

async function start(
  directory: string,
  environment: Record<string, string>,
  nodeOptions: readonly string[] = [],
): Promise<RunningService> {
  const service = await startService(directory, { environment, nodeOptions, interrupted: interruption.signal });
  cleanUps.push(() => service.stop());
  return service;
}

async function startAgain(directory: string, environment: Record<string, string>) {
  const times: number[] = [];
  for (let index = 0; index < starts; index += 1) {
    const service = await start(directory, environment);
    times.push(service.readyAfterMs);
    await service.stop();
  }
  const { profile } = options;
  const nodeOptions = profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profile];
  return { service: await start(directory, environment, nodeOptions), startMs: median(times) };
}

/** As many jobs, each with a token of its own, ask at once for what no one has asked for before. */
async function runBurst(api: Api, url: string, operatorToken: string): Promise<Results["burst"]> {
  const jobs: string[] = [];
  while (jobs.length < jobsAtOnce) {
    jobs.push(...(await Promise.all(Array.from({ length: 20 }, () => openJob(api, operatorToken)))));
  }
  const before = await upstreamCalls(url);
  let next = 0;
  const load = {
    url,
    next: () => {
      next += 1;
      return tokenRequest(jobs[next % jobs.length] ?? "", aws.registry);
    },
  };
  const startedAt = performance.now();
  const { p99Ms } = await measureLoad(load, { connections: jobsAtOnce, amount: jobsAtOnce });
  const took = (performance.now() - startedAt) / 1000;
  return { jobs: jobsAtOnce, upstreamCalls: (await upstreamCalls(url)) - before, seconds: took, p99Ms };
}

async function upstreamCalls(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const counts = text.matchAll(/^factory_secrets_upstream_request_duration_seconds_count\{[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function runComparisons(
  api: Api,
  {
    url,
    operatorToken,
    device,
    relayed,
  }: {
    url: string;
    operatorToken: string;
    device: Pick<Load, "url" | "tls">;
    relayed: { manifest: Load; layer: Load };
  },
) {
  const jobToken = await openJob(api, operatorToken);
  const loads = createLoads(url, {
    job: jobToken,
    api: await openApiToken(api, operatorToken),
    session: await openSession(api, url, operatorToken),
    workload: await signIdToken(api, operatorToken),
    device: { url: device.url, ...(device.tls && { tls: device.tls }) },
  });
  const { path, body } = loads.warmToken.next();
  const replyBytes = Buffer.byteLength(
    expectStatus(await api(jobToken, path, { body: JSON.parse(body ?? "") }), 200).text,
  );
  const bareServer = await startHelper([here("bare-express.mjs"), String(replyBytes)]);
  cleanUps.push(() => bareServer.stop());
  const bare = { url: `http://127.0.0.1:${bareServer.firstLine}`, next: () => ({ method: "GET" as const, path: "/" }) };
  const subjects: Subject[] = [
    { name: "a warm token, with its audit row", load: loads.warmToken },
    { name: "a warm token, by an access token", load: loads.warmTokenOfSession },
    { name: "a warm token, by an ID token", load: loads.warmTokenOfWorkload },
    { name: "a warm token, by a device over mutual TLS", load: loads.warmTokenOfDevice },
    { name: "a secret write, 500 names", load: loads.secretWrite },
    { name: "a list of 50 secrets", load: loads.secretList },
    { name: "a relayed manifest from memory, with its audit row", load: relayed.manifest },
    { name: "a relayed layer of 1 MiB, streamed and hashed", load: relayed.layer },
    { name: "a cold token, instant cloud", load: loads.coldToken },
  ].filter(({ name }) => name.includes(options.only));
  for (const load of [bare, ...subjects.map((subject) => subject.load)])
    await measureLoad(load, { connections: 16, seconds: 2 });
  const comparisons: Comparison[] = [];
  for (const connections of [16, 64]) {
    const onRound = (round: number) => {
      interruption.signal.throwIfAborted();
      say(`Round ${round} of ${rounds} at ${connections} connections ...`);
    };
    comparisons.push(...(await compare(bare, subjects, { connections, rounds, seconds, onRound })));
  }
  return { comparisons, replyBytes };
}

function watchMemory(pid: number, directory: string) {
  let most: Memory | undefined;
  let isWatching = true;
  const watching = (async () => {
    while (isWatching) {
      const now = await readMemory(pid, directory);
      if (now === undefined) return;
      const { nodeMiB = 0, postgresMiB = 0 } = most ?? {};
      most = { nodeMiB: Math.max(nodeMiB, now.nodeMiB), postgresMiB: Math.max(postgresMiB, now.postgresMiB) };
      await sleep(1_000);
    }
  })();
  return {
    async most(): Promise<Memory | undefined> {
      isWatching = false;
      await watching;
      return most;
    },
  };
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interruption.abort());

try {
  const report = renderReport(await bench());
  console.log(report);
  if (isWholeRun) await writeFile(here("results.md"), report);
} catch (error) {
  if (interruption.signal.aborted) say("Interrupted.");
  else console.error(error);
  process.exitCode = 1;
}
for (const undo of cleanUps.reverse()) await undo().catch((error: unknown) => console.error(error));
