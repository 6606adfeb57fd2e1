/** Where a batch is that was sent. Times are milliseconds since the epoch. */
export type BatchPlace =
  /** On its way into the queue. */
  | { readonly type: "sent" }
  /** In the queue: no worker has taken it. */
  | { readonly type: "waiting" }
  | {
      readonly type: "held";
      readonly workerId: string;
      /** What is known of the worker; undefined when it gives no sign of life. */
      readonly worker: { readonly host?: string; readonly pid?: number } | undefined;
      readonly since: number | undefined;
    }
  /** Its holder is found dead, or has finished it: it will be told of. */
  | { readonly type: "returning" };

/** A look of a broker at a runner's batches. */
export type BatchPlaces =
  /** One without a place is nowhere, and nobody will tell of it. */
  | { readonly places: ReadonlyMap<string, BatchPlace> }
  /** Redis does not answer, since then. */
  | { readonly awaySince: number };
