import { LRUCache } from "lru-cache";
import { Problem } from "../core/problem.js";

export type CircuitSettings = {
  /** Consecutive failures after which calls are paused. */
  failureLimit: number;
  /** The first pause; it doubles with each failed probe up to `maxPauseMs`. */
  pauseMs: number;
  maxPauseMs: number;
};

/** Permission for one call. Exactly one of the three must be called once, whatever happens to the call. */
export type CircuitPermit = {
  /** The upstream answered, even with a refusal. */
  succeeded(): void;
  /** It did not answer, answered 5xx, or too late. `what` is a sentence for the one who is told of the pause. */
  failed(what: string): void;
  /** The call says nothing about the upstream: its caller went away, or it was never made. */
  cancelled(): void;
};

export type Circuits = {
  /** Asks to call `host`. Throws `upstream-circuit-open` while calls to it are paused. */
  enter(host: string): CircuitPermit;
};

type HostState = { failures: number; lastFailure: string; pauseMs: number; pausedUntilMs: number; probing: boolean };

// Tenants name hosts, so the table is bounded; a host that falls out starts afresh.
const maxHosts = 1_000;

/**
 * One circuit per upstream host, so that a dead registry fails at once and does not hold the calls to the others.
 * After `failureLimit` consecutive failures calls are paused; then one probe is let through and decides.
 */
export function createCircuits(settings: CircuitSettings, deps: { nowMs: () => number }): Circuits {
  const states = new LRUCache<string, HostState>({ max: maxHosts });

  function enter(host: string): CircuitPermit {
    const state = states.get(host);
    const isPaused = state !== undefined && state.failures >= settings.failureLimit;
    const isProbe = isPaused && !state.probing && deps.nowMs() >= state.pausedUntilMs;
    if (isPaused && !isProbe) throw circuitOpen(host, state, deps.nowMs());
    if (isProbe) state.probing = true;
    return {
      succeeded: () => void states.delete(host),
      failed: (what) => recordFailure(host, isProbe, what),
      cancelled: () => {
        if (isProbe) state.probing = false;
      },
    };
  }

  function recordFailure(host: string, wasProbe: boolean, what: string): void {
    const state = states.get(host) ?? newState(settings);
    state.failures += 1;
    state.lastFailure = what;
    if (wasProbe) {
      state.probing = false;
      state.pauseMs = Math.min(state.pauseMs * 2, settings.maxPauseMs);
    }
    // Calls that were under way when the pause began do not prolong it.
    if (wasProbe || state.failures === settings.failureLimit) state.pausedUntilMs = deps.nowMs() + state.pauseMs;
    states.set(host, state);
  }

  return { enter };
}

const newState = ({ pauseMs }: CircuitSettings): HostState => ({
  failures: 0,
  lastFailure: "",
  pauseMs,
  pausedUntilMs: 0,
  probing: false,
});

function circuitOpen(host: string, state: HostState, nowMs: number): Problem {
  const retryAfterSeconds = Math.max(1, Math.ceil((state.pausedUntilMs - nowMs) / 1_000));
  return new Problem(
    "upstream-circuit-open",
    `${host} failed ${state.failures} times in a row, so calls to it are paused. Try again in ${retryAfterSeconds} s. The last time: ${state.lastFailure}`,
    { retryAfterSeconds },
  );
}
