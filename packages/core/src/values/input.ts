/**
 * What stands for a value that the runner will supply: a future among the arguments of a call. The codec writes an
 * Input as a placeholder; this base class is all that it need know of futures.
 */
export abstract class Input {}
