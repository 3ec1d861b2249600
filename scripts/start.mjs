// `npm start`: builds what is stale, then becomes the server. In this very process: a signal sent to it reaches the server.
import { buildOrExit } from "./build.mjs";

await buildOrExit();
await import(new URL("../dist/main.js", import.meta.url));
