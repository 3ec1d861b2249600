import { parentPort } from "node:worker_threads";
import { type Call, perform } from "./document-tasks.js";

// The thread of `DocumentThread`: one task after the other, each answered with one message.
parentPort?.on("message", (call: Call) => parentPort?.postMessage(perform(call)));
