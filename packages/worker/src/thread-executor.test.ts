import { executorContract } from "../testing/executor.contract.ts";
import { ThreadExecutor } from "./thread-executor.ts";

executorContract("ThreadExecutor", (root) => new ThreadExecutor({ threads: 2, root }));
