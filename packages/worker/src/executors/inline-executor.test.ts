import { executorContract } from "../../testing/executor.contract.ts";
import { InlineExecutor } from "./inline-executor.ts";

executorContract("InlineExecutor", (options) => new InlineExecutor(options));
