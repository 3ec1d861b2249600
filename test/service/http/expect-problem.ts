import type { Response } from "supertest";
import { expect } from "vitest";
import { type ProblemCode, problemCodes } from "../../../src/core/problem.js";

type Problem = {
  detail: string;
  message: string;
  requestId: string;
  invalid?: { at: string; reason: string }[];
};

/** Expects a problem of this kind in the shape that clients are promised, and gives it. */
export function expectProblem(response: Response, code: ProblemCode): Problem {
  const { status, title } = problemCodes[code];
  const body: Problem = response.body;
  expect({ status: response.status, body }).toMatchObject({
    status,
    body: { type: `urn:factory-secrets:problem:${code}`, title, status, code, detail: expect.stringMatching(/\S/) },
  });
  // The token endpoint speaks RFC 6749, with the members of a problem beside.
  expect(response.headers["content-type"]).toBe("error" in body ? "application/json" : "application/problem+json");
  expect(response.headers["cache-control"]).toBe("no-store");
  expect(body.message).toBe(body.detail);
  expect(body.requestId).toBe(response.headers["x-request-id"]);
  return body;
}
