import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { rightsNotes } from "./test/api/rights-notes.ts";

/** Every built-in Engine against every rule of the contract, in each topology that it knows. */
const CONFORMANCE_TESTS = [
  "test/engine/conformance.test.ts",
  "test/engine/conformance-groups.test.ts",
  "test/engine/conformance-shards.test.ts",
  "test/engine/conformance-stateless.test.ts",
];

/** Minutes of real servers, or servers that are slow to start. */
const LONG_ENGINE_TESTS = [
  "test/engine/backup-mistakes.test.ts",
  "test/engine/conformance-mistakes.test.ts",
  "test/engine/damage.test.ts",
  "test/engine/etcd-accounts.test.ts",
  "test/engine/etcd-tls.test.ts",
  "test/engine/galera-accounts.test.ts",
  "test/engine/passwords.test.ts",
  "test/engine/rabbitmq.test.ts",
  "test/engine/redis-passwords.test.ts",
  "test/engine/redis-shards.test.ts",
  "test/engine/restore.test.ts",
  "test/engine/shard-mistakes.test.ts",
];

export default defineConfig({
  test: {
    projects: [
      // Vitest leaves one processor for itself: of two that would be half of the machine.
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          isolate: false, // they share what they load, and have no state of their own there: half of the time
          testTimeout: 20_000,
          maxWorkers: availableParallelism(),
        },
      },
      { test: { name: "model", include: ["test/model/**/*.test.ts"], testTimeout: 600_000, maxWorkers: 2 } },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"], testTimeout: 600_000 } },
      { test: { name: "init", include: ["test/init/**/*.test.ts"], testTimeout: 60_000, fileParallelism: false } },
      {
        test: {
          name: "members",
          include: ["test/members/failover.test.ts", "test/members/backup.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "members-long",
          include: ["test/members/**/*.test.ts"],
          exclude: ["test/members/failover.test.ts", "test/members/backup.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "engine",
          include: ["test/engine/**/*.test.ts"],
          exclude: [...CONFORMANCE_TESTS, ...LONG_ENGINE_TESTS],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 20_000 } }, // a second, unless told: real servers on a busy machine take longer
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "conformance",
          include: CONFORMANCE_TESTS,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 20_000 } }, // a second, unless told: real servers on a busy machine take longer
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "engine-long",
          include: LONG_ENGINE_TESTS,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 20_000 } }, // a second, unless told: real servers on a busy machine take longer
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "prometheus",
          include: ["test/prometheus/**/*.test.ts"],
          exclude: ["test/prometheus/ends.test.ts", "test/prometheus/windows.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "prometheus-long",
          include: ["test/prometheus/ends.test.ts", "test/prometheus/windows.test.ts"],
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "api",
          include: ["test/api/**/*.test.ts"],
          exclude: [
            "test/api/operator-upgrade.test.ts",
            "test/api/overload.test.ts",
            "test/api/ownership.test.ts",
            "test/api/rights.test.ts",
            "test/api/sequences-long.test.ts",
            "test/api/sequences-sharded.test.ts",
            "test/api/strained-watches.test.ts",
          ],
          globalSetup: ["test/api/rights-notes.ts", "test/api/plugin-bundle.ts"],
          provide: { rightsNotes },
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2, // each file has a control plane of its own, for which it mostly waits
        },
      },
      {
        test: {
          name: "api-rights", // sums up what the files of api have noted, and so comes after them
          include: ["test/api/rights.test.ts"],
          sequence: { groupOrder: 1 },
          provide: { rightsNotes },
        },
      },
      // What `make sbom` and the steps before it have made.
      { test: { name: "images", include: ["test/images/images.test.ts"], testTimeout: 60_000 } },
      {
        test: {
          name: "images-long",
          include: ["test/images/release.test.ts", "test/images/site.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "bench-long",
          include: ["test/bench/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 1_200_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "api-long",
          include: [
            "test/api/operator-upgrade.test.ts",
            "test/api/overload.test.ts",
            "test/api/ownership.test.ts",
            "test/api/sequences-long.test.ts",
            "test/api/sequences-sharded.test.ts",
            "test/api/strained-watches.test.ts",
          ],
          globalSetup: ["test/api/rights-notes.ts"],
          provide: { rightsNotes },
          testTimeout: 60_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "lab",
          include: ["test/lab/failover.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "lab-long",
          include: ["test/lab/**/*.test.ts"],
          exclude: ["test/lab/failover.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
