import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export type ListeningProgram = { port: number; stop(): Promise<void> };

/**
 * Starts a server program and reads its log (standard error) until a line matches `listening`, whose first group is
 * the port. Throws with the whole log when the program ends before that.
 */
export async function startListening(options: {
  program: string;
  args: readonly string[];
  listening: RegExp;
  environment?: Readonly<Record<string, string>>;
}): Promise<ListeningProgram> {
  const child = spawn(options.program, options.args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: "/usr/bin:/bin", ...options.environment },
  });
  const exited = Promise.race([once(child, "exit"), once(child, "error")]);
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    const port = options.listening.exec(line)?.[1];
    if (port !== undefined) {
      // A log that no one reads any more must not fill the pipe and stop the program.
      child.stderr.resume();
      return { port: Number(port), stop: () => stop() };
    }
    said.push(line);
  }
  throw new Error(`${options.program} ended before it listened:\n${said.join("\n")}`);

  async function stop(): Promise<void> {
    child.kill("SIGTERM");
    await exited;
  }
}
