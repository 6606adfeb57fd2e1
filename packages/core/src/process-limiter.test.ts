import { limiterContract } from "../testing/limiter.contract.ts";
import { ProcessLimiter } from "./process-limiter.ts";

limiterContract("ProcessLimiter", {
  open: async (limits, count) => Array.from({ length: count }, () => new ProcessLimiter(limits)),
});
