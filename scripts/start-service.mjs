// `npm start`: builds what is stale, then becomes the server. In this very process: a signal sent to it reaches the server.
import { buildOrExit } from "./build-steps.mjs";

// npm runs this below a shell, and a SIGTERM for npm ends that shell without reaching us. When our parent is gone,
// we were meant. (Ctrl-C reaches everybody by itself.)
if (process.env.npm_lifecycle_event === "start") {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGTERM");
  }, 250);
  timer.unref();
}

await buildOrExit();
await import(new URL("../dist/main.js", import.meta.url));
