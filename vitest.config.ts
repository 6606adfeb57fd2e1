import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/src/**/*.test.ts", "examples/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    globalSetup: ["test/support/global-setup.ts"],
    pool: "forks",
    // Made for two cores: many tests start worker processes and threads of their own.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 30_000,
    // Across packages, tests use what is built, loaded by Node itself, as users and worker threads do.
    server: { deps: { external: [/\/packages\/[^/]+\/dist\//] } },
    typecheck: {
      enabled: true,
      include: ["packages/*/src/**/*.test-d.ts"],
      tsconfig: "tsconfig.test.json",
      // `npm run typecheck` reports what is not a type test.
      ignoreSourceErrors: true,
    },
    coverage: {
      provider: "v8",
      include: ["packages/core/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/*.test-d.ts"],
    },
  },
});
