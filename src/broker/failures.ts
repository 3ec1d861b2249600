import { type Failure, Problem } from "../core/problem.js";
import { someOf } from "./select-registry.js";

/** One registry that could not be answered for, and the whole problem that it was. */
export type Failed = { failure: Failure; problem: Problem };

export function failed(registry: string, problem: Problem): Failed {
  return { failure: { registry, code: problem.code, message: problem.detail }, problem };
}

/** One failure is that problem; several are the gravest of them, with all listed. */
export function problemOf(failures: readonly Failed[], asked: number): Problem {
  const gravest = failures.map(({ problem }) => problem).reduce((a, b) => (b.status > a.status ? b : a));
  if (asked === 1) return gravest;
  const detail = `${failures.length} of ${asked} registries gave no token. ${someOf(
    failures.map(({ failure }) => `${failure.registry}: ${failure.message}`),
    " ",
  )}`;
  const { retryAfterSeconds } = gravest;
  return new Problem(gravest.code, detail, {
    failures: failures.map(({ failure }) => failure),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}
