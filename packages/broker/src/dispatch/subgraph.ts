/** What decides which calls travel along with ready ones, since they need nothing but what those return. */
export interface GraphSituation<Node> {
  readonly workers: number;
  /** Threads of all workers together. */
  readonly slots: number;
  /** Calls that wait for this one. */
  dependentsOf(node: Node): readonly Node[] | undefined;
  /** For how many calls that have not returned the call waits; undefined when it cannot go along, whatever these do. */
  waitsFor(node: Node): number | undefined;
  /** What the call is expected to take, or counts for when nobody knows. */
  costMs(node: Node): number;
}

/**
 * Levels that take longer are worth a way through the broker, 2.5 to 4 ms, when that spreads them over several workers; and so is
 * a single call.
 */
const LEVEL_MS_PER_THREAD = 4;

/** As many as a batch may have at all: see batch-plan.ts. */
const MOST_CALLS = 1000;

/**
 * The calls of a batch: the seeds, which are ready, and level by level those that wait for nothing but calls of the
 * batch, each behind what it waits for. So a chain, a tree or a small graph costs one way through the broker instead of one
 * for each level. With several workers, calls that would keep this one busy for long stay behind, to be spread.
 */
export function growBatch<Node>(seeds: readonly Node[], situation: GraphSituation<Node>): readonly Node[] {
  if (!seeds.some((seed) => situation.dependentsOf(seed) !== undefined)) return seeds;
  const batch = [...seeds];
  /** Of calls beside the batch: for how many calls outside it they wait. */
  const waits = new Map<Node, number>();
  for (let level = nextLevel(seeds, waits, situation); level.length > 0; ) {
    const taken = withoutWorthSpreading(level, situation).slice(0, MOST_CALLS - batch.length);
    batch.push(...taken);
    level = nextLevel(taken, waits, situation);
  }
  return batch;
}

function nextLevel<Node>(
  level: readonly Node[],
  waits: Map<Node, number>,
  { dependentsOf, waitsFor }: GraphSituation<Node>,
): Node[] {
  const next: Node[] = [];
  for (const node of level) {
    for (const dependent of dependentsOf(node) ?? NONE) {
      const before = waits.get(dependent) ?? waitsFor(dependent) ?? Number.POSITIVE_INFINITY;
      waits.set(dependent, before - 1);
      if (before === 1) next.push(dependent);
    }
  }
  return next;
}

const NONE: readonly never[] = [];

/**
 * The calls of a level that come along: all; or those that are short, when the long ones are what makes it worth spreading; or none.
 * The way through the broker costs a call of 500 ms less than 1 %, and would cost 19 of 0.1 ms twice what they take together.
 */
function withoutWorthSpreading<Node>(
  level: readonly Node[],
  { workers, slots, costMs }: GraphSituation<Node>,
): readonly Node[] {
  const threads = slots / workers;
  if (workers === 1 || level.length <= threads) return level;
  const isShort = (nodes: readonly Node[]) => {
    let totalMs = 0;
    for (const node of nodes) totalMs += costMs(node);
    return totalMs <= threads * LEVEL_MS_PER_THREAD;
  };
  if (isShort(level)) return level;
  const short = level.filter((node) => costMs(node) <= LEVEL_MS_PER_THREAD);
  return isShort(short) ? short : NONE;
}
