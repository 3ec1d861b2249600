import { describe, expect, it } from "vitest";
import { GroupCommit } from "../../../src/db/group-commit.js";

type Call = { batch: readonly number[]; finish: (outcomes: readonly string[]) => void; fail: (error: Error) => void };

/** A statement that ends when the test says so. */
function controlled(maxBatch: number) {
  const calls: Call[] = [];
  const group = new GroupCommit<number, string>(
    (batch) => new Promise((finish, fail) => calls.push({ batch, finish, fail })),
    maxBatch,
  );
  return { group, calls };
}

const settled = async (promises: readonly Promise<string>[]) =>
  (await Promise.allSettled(promises)).map((one) => (one.status === "fulfilled" ? one.value : "failed"));
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a group commit", () => {
  it("runs one statement at a time; the next takes all that came meanwhile, up to its limit", async () => {
    const { group, calls } = controlled(3);
    const added = [group.add(1), group.add(2)];
    await turn();
    added.push(...[3, 4, 5, 6].map((item) => group.add(item)));
    await turn();
    expect(calls.map(({ batch }) => batch)).toEqual([[1, 2]]);
    calls[0]?.finish(["one", "two"]);
    await turn();
    calls[1]?.finish(["three", "four", "five"]);
    await turn();
    calls[2]?.finish(["six"]);
    expect(calls.map(({ batch }) => batch)).toEqual([[1, 2], [3, 4, 5], [6]]);
    expect(await settled(added)).toEqual(["one", "two", "three", "four", "five", "six"]);
    await group.flush();
  });

  it("begins the next statement before those go on that the last one has answered", async () => {
    const { group, calls } = controlled(2);
    let running = 0;
    const first = [1, 2].map((item) => group.add(item).then(() => (running = calls.length)));
    await turn();
    const second = group.add(3);
    calls[0]?.finish(["one", "two"]);
    await Promise.all(first);
    expect(running).toBe(2);
    calls[1]?.finish(["three"]);
    expect(await second).toBe("three");
  });

  it("writes what is added in any turn after an outcome: none waits for an item behind it", async () => {
    for (let turns = 0; turns < 10; turns += 1) {
      const group = new GroupCommit<number, string>(async (batch) => batch.map(String), 10);
      await group.add(1);
      for (let passed = 0; passed < turns; passed += 1) await Promise.resolve();
      const second = group.add(2);
      await turn();
      expect(await Promise.race([second, turn().then(() => "still waiting")])).toBe("2");
    }
  });

  it("tries each alone when their statement fails, so that one fails nobody else", async () => {
    const { group, calls } = controlled(10);
    const outcomes = settled([group.add(1), group.add(2)]);
    await turn();
    calls[0]?.fail(new Error("one of them is not to Postgres' taste"));
    await turn();
    calls[1]?.fail(new Error("this one"));
    await turn();
    calls[2]?.finish(["two"]);
    expect(calls.map(({ batch }) => batch)).toEqual([[1, 2], [1], [2]]);
    expect(await outcomes).toEqual(["failed", "two"]);
  });

  it("fails all at once when the database is away: trying each would only wait longer", async () => {
    const { group, calls } = controlled(10);
    const added = [group.add(1), group.add(2)];
    await turn();
    calls[0]?.fail(Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }));
    expect(await settled(added)).toEqual(["failed", "failed"]);
    expect(calls).toHaveLength(1);
  });
});
