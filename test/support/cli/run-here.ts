import { vi } from "vitest";
import { run } from "../../../src/cli/factory-secrets.js";

/** Runs the command in this process, as an operator on the server's machine would. What it wrote is text. */
export async function runHere(
  settings: Readonly<Record<string, string>>,
  ...argv: string[]
): Promise<{ code: number; out: string; err: string }> {
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
  const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    const code = await run(argv);
    const textOf = (spy: typeof out) => spy.mock.calls.map(([text]) => String(text)).join("");
    return { code, out: textOf(out), err: textOf(err) };
  } finally {
    out.mockRestore();
    err.mockRestore();
    vi.unstubAllEnvs();
  }
}
