import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`packages/core/src/${path}`, import.meta.url));

/**
 * `npx vitest run packages/core --coverage`: the contract suites import core by its name, which is what is built. To
 * count them, that name means the sources then; so it is for core's own tests alone.
 */
const coveredAlias = process.argv.includes("--coverage")
  ? [
      { find: /^@millrace\/core$/, replacement: source("index.ts") },
      { find: /^@millrace\/core\/internal$/, replacement: source("internal.ts") },
    ]
  : [];

export default defineConfig({
  resolve: { alias: coveredAlias },
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "examples/**/*.test.ts",
      "test/**/*.test.ts",
      "bench/**/*.test.ts",
    ],
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
