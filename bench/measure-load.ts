import autocannon from "autocannon";

export type OneRequest = {
  method: "GET" | "POST" | "PUT";
  path: string;
  body?: string;
  headers?: Readonly<Record<string, string>>;
};

/** PEM: what a client shows in the handshake, and whom it trusts. */
export type ClientTls = { cert: string; key: string; ca: string };

/** What is asked, over and over; `next` makes each request anew where no two may be the same. */
export type Load = { url: string; next: () => OneRequest; tls?: ClientTls };

export type Measured = { perSecond: number; p50Ms: number; p99Ms: number };

/**
 * Keeps `connections` requests in flight for some seconds, or until `amount` were answered.
 * @throws Error when any was not answered with a 2xx: a refusal is fast, and would flatter the number
 */
export async function measureLoad(
  load: Load,
  input: { connections: number; seconds: number } | { connections: number; amount: number },
): Promise<Measured> {
  const times: number[] = [];
  const startedAt = performance.now();
  const options = {
    url: load.url,
    connections: input.connections,
    ...("seconds" in input ? { duration: input.seconds } : { amount: input.amount }),
    timeout: 30,
    ...(load.tls && { tlsOptions: load.tls }),
    requests: [{ setupRequest: (request: autocannon.Request) => ({ ...request, ...withCopiedHeaders(load.next()) }) }],
  };
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const run = autocannon(options, (error, outcome) => (error ? reject(error) : resolve(outcome)));
    // Its own histogram knows whole milliseconds only.
    run.on("response", (_client, _status, _bytes, milliseconds) => times.push(milliseconds));
  });
  const seconds = (performance.now() - startedAt) / 1000;
  if (result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${result.non2xx} answers were no success and ${result.errors} requests failed.`);
  }
  times.sort((a, b) => a - b);
  return { perSecond: times.length / seconds, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

const withCopiedHeaders = ({ headers, ...request }: OneRequest) => ({ ...request, headers: { ...headers } });

/** The value below which a share of the sorted values lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}
