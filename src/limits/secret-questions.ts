import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { tooManyRequests, windowSeconds } from "./too-many-requests.js";

/** How often one secret may be asked about, no matter who asks; on each replica. */
export class SecretQuestions {
  readonly #limiter: RateLimiterMemory;
  readonly #what: string;

  /** @param limit.what - the sentence of the refusal */
  constructor(limit: { perMinute: number; what: string }) {
    this.#limiter = new RateLimiterMemory({ points: limit.perMinute, duration: windowSeconds });
    this.#what = limit.what;
  }

  /** Counts one. @throws Problem `too-many-requests`, saying when to come back */
  async count(factoryId: string, name: string): Promise<void> {
    try {
      await this.#limiter.consume(`${factoryId}/${name}`);
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      throw tooManyRequests(this.#what, error.msBeforeNext);
    }
  }
}
