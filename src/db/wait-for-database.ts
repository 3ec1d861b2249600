import { setTimeout as sleep } from "node:timers/promises";
import { databaseTrouble, mayPass } from "../core/database-errors.js";
import type { Settings } from "../settings/settings.js";
import { explainConnection } from "./explain-connection.js";

/** The service was asked to stop before it had started. */
export class StoppedWhileStarting extends Error {
  override readonly name = "StoppedWhileStarting";
}

export type Waiting = {
  /** Receives a sentence at once, whenever the reason changes, and every half a minute. */
  say: (sentence: string) => void;
  /** Ends the wait. */
  stopping: AbortSignal;
  /** Called before the first wait. */
  onWaiting: () => Promise<void>;
};

const retryMs = 1_000;
const repeatMs = 30_000;

/**
 * Does `work`, and does it again each second while the database cannot be used: after a power cut it often comes up later
 * than the service, and during a switchover nobody answers for a while. There is no limit of time: whoever watches
 * `/readyz` and the log knows what it waits for, and an exit would only make the supervisor start it anew.
 * @param url of the database, for the sentences
 * @throws DatabaseUnusable at once for what somebody must set right: a wrong password, a missing database; any error of
 * `work` that is not trouble of the database; StoppedWhileStarting
 */
export async function whenDatabaseAnswers<T>(url: string, waiting: Waiting, work: () => Promise<T>): Promise<T> {
  let told = { sentence: "", atMs: 0 };
  let isFirst = true;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const trouble = databaseTrouble(error);
      const explained = explainConnection(error, url);
      if (trouble === undefined || !mayPass(trouble)) throw explained;
      if (waiting.stopping.aborted) throw new StoppedWhileStarting();
      const sentence = explained instanceof Error ? explained.message : String(explained);
      const nowMs = performance.now();
      if (sentence !== told.sentence || nowMs - told.atMs >= repeatMs) {
        waiting.say(`${sentence} Waiting for it; /readyz answers 503 meanwhile.`);
        told = { sentence, atMs: nowMs };
      }
      if (isFirst) await waiting.onWaiting();
      isFirst = false;
      await sleep(retryMs, undefined, { signal: waiting.stopping }).catch(() => undefined);
      if (waiting.stopping.aborted) throw new StoppedWhileStarting();
    }
  }
}

/** Does a piece of work of the start, and waits for the database where that can help. */
export type Patiently = <T>(work: () => Promise<T>) => Promise<T>;

/** Waits for the operator's database. The service's own one it starts itself: there is nothing to wait for. */
export function patienceFor(database: Settings["database"], waiting: Waiting): Patiently {
  if (database.kind === "embedded") return (work) => work();
  return (work) => whenDatabaseAnswers(database.url, waiting, work);
}
