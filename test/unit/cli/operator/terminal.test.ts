import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { harmless } from "../../../../src/cli/client/output.js";
import { personAt } from "../../../../src/cli/operator/given-input.js";
import { mayColour, paintFor } from "../../../../src/cli/operator/print.js";

/** A terminal of which everything that is shown is kept. */
function seat() {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  const output = Object.assign(new PassThrough(), { isTTY: true });
  let shown = "";
  output.on("data", (chunk: Buffer) => {
    shown += chunk.toString("utf8");
  });
  let interrupts = 0;
  const interrupt = () => {
    interrupts += 1;
  };
  return {
    input,
    output,
    person: personAt({ input, output, interrupt }),
    shown: () => shown,
    interrupts: () => interrupts,
  };
}

describe("the person at the terminal", () => {
  test("is not shown what they type when it is hidden", async () => {
    const { input, person, shown } = seat();
    const answer = person.askHidden("Token: ");
    input.write("not-a-reaX\u007fl-secret\r");
    expect(await answer).toBe("not-a-real-secret");
    expect(shown()).toBe("Token: \n");
  });

  test("cannot paste a key of several lines and have its first stored", async () => {
    const { input, person } = seat();
    const answer = person.askHidden("Value: ");
    input.write("-----BEGIN\rnot-a-real-key\r-----END\r");
    await expect(answer).rejects.toThrow("The input has several lines. Pass it with --from-file FILE.");
  });

  test("answers one question after the other", async () => {
    const { input, person } = seat();
    const first = person.ask("Go on? ");
    input.write("  yes\r");
    expect(await first).toBe("yes");
    const second = person.askHidden("Value: ");
    input.write("x\r");
    expect(await second).toBe("x");
  });

  test("ends it with Ctrl-C, and Ctrl-D is no answer", async () => {
    const interrupted = seat();
    const never = interrupted.person.askHidden("Value: ");
    interrupted.input.write("\u0003");
    await expect(never).rejects.toThrow("The input ended without an answer.");
    expect(interrupted.interrupts()).toBe(1);
    const ended = seat();
    const nothing = ended.person.ask("Go on? ");
    ended.input.end();
    await expect(nothing).rejects.toThrow("The input ended without an answer.");
  });

  test("is not there when input or output is not a terminal", () => {
    const { input, output } = seat();
    const interrupt = () => undefined;
    expect(personAt({ input: new PassThrough(), output, interrupt }).isAtTerminal).toBe(false);
    expect(personAt({ input, output: new PassThrough(), interrupt }).isAtTerminal).toBe(false);
  });
});

describe("colours", () => {
  test.each([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: "1" }, true, false],
    [{ NO_COLOR: "" }, true, true],
    [{ FORCE_COLOR: "1" }, false, true],
    [{ FORCE_COLOR: "0" }, true, false],
    [{ FORCE_COLOR: "1", NO_COLOR: "1" }, false, true],
    [{ TERM: "dumb" }, true, false],
  ])("with %j and a terminal: %s, are %s", (environment, isTerminal, expected) => {
    expect(mayColour(environment, isTerminal)).toBe(expected);
  });

  test("are not there when they are off", () => {
    expect(paintFor(false).red("x")).toBe("x");
    expect(harmless(paintFor(true).red("x\u001b[2J"))).toBe("\u001b[31mx\\u001b[2J\u001b[39m");
  });
});
