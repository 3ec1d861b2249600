import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/database-server.ts"],
    // Processes, not threads: tests that signal or kill must not reach the runner.
    pool: "forks",
    // By itself vitest leaves one processor free, which on the usual two is half of them. Most tests wait for Postgres.
    maxWorkers: "100%",
    // The service is some 600 modules: importing them anew for each file took longer than all tests.
    isolate: false,
    setupFiles: ["test/support/begin-file.ts"],
    // Only so that a test which hangs ends at all. Many start real programs, some of them twenty times in a row, which
    // takes seconds each where several share a slow processor.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    teardownTimeout: 30_000,
    // What is waited for is an event, not a time. Where it must come soon, the test says before what.
    expect: { poll: { timeout: 30_000 } },
  },
});
