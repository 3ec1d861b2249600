import { parentPort } from "node:worker_threads";
import { type Call, perform } from "./document-tasks.js";

// The thread of `DocumentWorker`: one task after the other, each answered with one message.
parentPort?.on("message", (call: Call) => void perform(call).then((answer) => parentPort?.postMessage(answer)));
