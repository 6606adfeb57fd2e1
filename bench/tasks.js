/** The functions of the benchmarks, as Millrace runs them. */
import { task } from "millrace";
import * as functions from "./functions.js";

export const noop = task({ name: "noop" }, functions.noop);
export const asyncNoop = task({ name: "asyncNoop" }, functions.asyncNoop);
export const increment = task({ name: "increment" }, functions.increment);
export const spin = task({ name: "spin" }, functions.spin);
export const rest = task({ name: "rest" }, functions.rest);
export const echo = task({ name: "echo" }, functions.echo);
export const point = task({ name: "point" }, functions.point);
export const rate = task({ name: "rate" }, functions.rate);
