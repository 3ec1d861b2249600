import { describe, expect, it } from "vitest";
import { createCircuits } from "../../../src/outbound/circuit.js";

function setUp() {
  const clock = { nowMs: 1_000_000 };
  const circuits = createCircuits(
    { failureLimit: 3, pauseMs: 10_000, maxPauseMs: 30_000 },
    { nowMs: () => clock.nowMs },
  );
  const fail = (times: number) => {
    for (let i = 0; i < times; i += 1) circuits.enter("dead:443").failed("It answered 502.");
  };
  return { clock, circuits, fail };
}

const open = expect.objectContaining({ code: "upstream-circuit-open" });

describe("createCircuits", () => {
  it("pauses calls after three failures in a row and says when to come back", () => {
    const { circuits, fail } = setUp();
    fail(3);
    expect(() => circuits.enter("dead:443")).toThrow(open);
    expect(() => circuits.enter("dead:443")).toThrow(expect.objectContaining({ retryAfterSeconds: 10, status: 503 }));
  });

  it("says what went wrong the last time", () => {
    const { circuits, fail } = setUp();
    fail(2);
    circuits.enter("dead:443").failed("dead cannot be reached: its name does not exist.");
    expect(() => circuits.enter("dead:443")).toThrow(
      "dead:443 failed 3 times in a row, so calls to it are paused. Try again in 10 s. The last time: dead cannot be reached: its name does not exist.",
    );
  });

  it("does not hold other hosts", () => {
    const { circuits, fail } = setUp();
    fail(3);
    expect(() => circuits.enter("alive:443").succeeded()).not.toThrow();
  });

  it("starts counting again after a success", () => {
    const { circuits, fail } = setUp();
    fail(2);
    circuits.enter("dead:443").succeeded();
    fail(2);
    expect(() => circuits.enter("dead:443")).not.toThrow();
  });

  it("lets one probe through after the pause and closes when it succeeds", () => {
    const { clock, circuits, fail } = setUp();
    fail(3);
    clock.nowMs += 10_000;
    const probe = circuits.enter("dead:443");
    expect(() => circuits.enter("dead:443")).toThrow(open);
    probe.succeeded();
    expect(() => circuits.enter("dead:443")).not.toThrow();
  });

  it("doubles the pause with each failed probe, up to the limit", () => {
    const { clock, circuits, fail } = setUp();
    fail(3);
    const pauses = [20, 30, 30].map((seconds) => {
      clock.nowMs += 30_000;
      circuits.enter("dead:443").failed("It answered 502.");
      expect(() => circuits.enter("dead:443")).toThrow(expect.objectContaining({ retryAfterSeconds: seconds }));
      return seconds;
    });
    expect(pauses).toHaveLength(3);
  });

  it("lets another probe through when the first was cancelled", () => {
    const { clock, circuits, fail } = setUp();
    fail(3);
    clock.nowMs += 10_000;
    circuits.enter("dead:443").cancelled();
    expect(() => circuits.enter("dead:443")).not.toThrow();
  });

  it("is not prolonged by calls that were under way when it opened", () => {
    const { clock, circuits } = setUp();
    const permits = Array.from({ length: 6 }, () => circuits.enter("dead:443"));
    for (const permit of permits) {
      permit.failed("It answered 502.");
      clock.nowMs += 3_000;
    }
    // Opened by the third failure at +6 s, so the pause ends at +16 s.
    expect(() => circuits.enter("dead:443")).not.toThrow();
  });
});
