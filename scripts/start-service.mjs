// `npm start`: builds what is stale, then becomes the server. In this very process: a signal sent to it reaches the server.
import { buildOrExit } from "./build-steps.mjs";

// npm runs this below a shell, and a SIGTERM for npm ends that shell without reaching us. When our parent is gone,
// we were meant. (Ctrl-C reaches everybody by itself.)
let timer;
if (process.env.npm_lifecycle_event === "start") {
  const parent = process.ppid;
  timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGTERM");
  }, 250);
  timer.unref();
}

await buildOrExit();
// A process that was told to stop together with that shell must not be told again: a second signal ends the drain.
// Until the server listens for signals itself, nothing runs that must be closed, and the signal ends the process.
for (const signal of ["SIGTERM", "SIGINT"])
  process.once(signal, () => {
    clearInterval(timer);
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  });
await import(new URL("../dist/main.js", import.meta.url));
