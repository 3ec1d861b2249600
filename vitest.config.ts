import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** What a project's tests stand on that is started once for all of them: one throw-away Postgres. */
const withDatabase = { globalSetup: ["test/support/database-server.ts"] };

const project = (name: string, more = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...more },
});

export default defineConfig({
  test: {
    // They run in the order of their names, the longest files of each first; a worker belongs to one project.
    projects: [project("programs", withDatabase), project("service", withDatabase), project("unit")],
    // Processes, not threads: tests that signal or kill must not reach the runner.
    pool: "forks",
    // More than there are processors: most tests wait for Postgres, or for a program, half of their time.
    maxWorkers: availableParallelism() * 2,
    // The service is some 600 modules: importing them anew for each file took longer than all tests. What a worker's
    // files share besides is one service (test/support/test-service.ts).
    isolate: false,
    // Transformed modules are kept on disk, by the hash of their content.
    experimental: { fsModuleCache: true },
    setupFiles: ["test/support/begin-file.ts"],
    // Only so that a test which hangs ends at all. Many start real programs, some of them several times in a row, which
    // takes seconds each where several share a slow processor.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    teardownTimeout: 30_000,
    // What is waited for is an event, not a time. Where it must come soon, the test says before what.
    expect: { poll: { timeout: 30_000 } },
    coverage: { provider: "v8", include: ["src/**"], exclude: ["src/**/generated/**"] },
  },
});
