// With source maps a stack in the log names files of src/. Node maps only what is loaded after this line.
process.setSourceMapsEnabled(true);
const { runService } = await import("./run-service.js");
await runService(process.env);

// Makes this file a module.
export {};
