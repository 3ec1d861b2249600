import type { Problem } from "./problem.js";

/** An error as it is sent. */
export type RenderedError = {
  status: number;
  /** In place of the status' own phrase: for an answer to HEAD, which has no body. Visible ASCII. */
  reason?: string | undefined;
  headers: Readonly<Record<string, string>>;
  body: string | Buffer;
};

/** How a problem is told to clients of a protocol that has errors of its own, instead of as RFC 9457 says. */
export type ErrorShape = (problem: Problem, requestId: string) => RenderedError;
