import { availableParallelism, cpus, totalmem } from "node:os";
import type { Comparison } from "./compare.js";
import type { Memory } from "./read-memory.js";

export type Results = {
  comparisons: readonly Comparison[];
  replyBytes: number;
  /** Programs of others that wanted a core when the run began (1 minute's average). */
  loadBefore: number;
  rounds: number;
  secondsEach: number;
  burst: { jobs: number; upstreamCalls: number; seconds: number; p99Ms: number };
  firstRunMs: number;
  startMs: number;
  memory: { atRest: Memory | undefined; underLoad: Memory | undefined };
};

/** The results as Markdown. It names the machine by what it is, not by where things lie on it. */
export function renderReport(results: Results): string {
  const { comparisons, burst, memory } = results;
  const gib = (totalmem() / 1024 ** 3).toFixed(0);
  return `# Results of \`npm run bench\`

${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, ${gib} GiB; Node ${process.versions.node}; ${process.platform}. Load generator, server,
Postgres (embedded, fsync and synchronous_commit on) and stand-in cloud share these cores. Server: \`node dist/main.js\`, with
validation, metrics and the log to a file. Medians of ${results.rounds} rounds of ${results.secondsEach} s; a ratio is to bare Express in the same round,
which answers ${results.replyBytes} bytes of JSON, as many as the warm token. Load average before the run: ${results.loadBefore.toFixed(1)}${
    isBusy(results.loadBefore)
      ? ` (the
machine was busy with other work, which slows both sides of a ratio: measure again on a quiet one)`
      : ""
  }.

| what | connections | requests/s | p50 ms | p99 ms | ratio |
| --- | ---: | ---: | ---: | ---: | ---: |
${comparisons.map(row).join("\n")}

| what | result | aim |
| --- | ---: | ---: |
| ${burst.jobs} jobs at once on a cold cache: upstream calls | ${burst.upstreamCalls} | 1 |
| the same: all answered after | ${burst.seconds.toFixed(2)} s (p99 ${burst.p99Ms.toFixed(0)} ms) | |
| first run, to \`/readyz\` | ${seconds(results.firstRunMs)} | 10 s |
| start with an existing database, to \`/readyz\` | ${seconds(results.startMs)} | 1 s |
| memory at rest, Node (RSS) | ${mebibytes(memory.atRest?.nodeMiB)} | 150 MB |
| memory at rest, Postgres beside it (PSS) | ${mebibytes(memory.atRest?.postgresMiB)} | |
| most memory under load, Node (RSS) | ${mebibytes(memory.underLoad?.nodeMiB)} | |
| most memory under load, Postgres (PSS) | ${mebibytes(memory.underLoad?.postgresMiB)} | |
`;
}

function row({ name, connections, perSecond, p50Ms, p99Ms, ratio }: Comparison): string {
  return `| ${name} | ${connections} | ${perSecond.toFixed(0)} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${ratio.toFixed(2)} |`;
}

const isBusy = (load: number): boolean => load > availableParallelism() / 2;

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;

const mebibytes = (value: number | undefined): string =>
  value === undefined ? "not known here" : `${value.toFixed(0)} MiB`;
