/** The functions of the benchmarks as piscina calls them: by name, with one argument, here the list of arguments. */
import * as functions from "./functions.js";

export const noop = (args) => functions.noop(...args);
export const asyncNoop = (args) => functions.asyncNoop(...args);
export const increment = (args) => functions.increment(...args);
export const spin = (args) => functions.spin(...args);
export const rest = (args) => functions.rest(...args);
export const echo = (args) => functions.echo(...args);
export const point = (args) => functions.point(...args);
export const rate = (args) => functions.rate(...args);
