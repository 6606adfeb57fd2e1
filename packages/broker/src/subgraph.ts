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
 * Levels that take longer are worth a way through the broker, 2.5 to 4 ms, when that spreads them over several workers.
 */
const LEVEL_MS_PER_THREAD = 4;

/** As many as a batch may have at all: see batch-plan.ts. */
const MOST_CALLS = 1000;

/**
 * The calls of a batch: the seeds, which are ready, and level by level those that wait for nothing but calls of the
 * batch, each behind what it waits for. So a chain, a tree or a small graph costs one way through the broker instead of one
 * for each level. With several workers, a level that would keep this one busy for long stays behind, to be spread.
 */
export function growBatch<Node>(seeds: readonly Node[], situation: GraphSituation<Node>): readonly Node[] {
  if (!seeds.some((seed) => situation.dependentsOf(seed) !== undefined)) return seeds;
  const batch = [...seeds];
  /** Of calls beside the batch: for how many calls outside it they wait. */
  const waits = new Map<Node, number>();
  for (let level = nextLevel(seeds, waits, situation); level.length > 0; ) {
    const room = MOST_CALLS - batch.length;
    if (room <= 0 || isWorthSpreading(level, situation)) break;
    const taken = level.slice(0, room);
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

function isWorthSpreading<Node>(
  level: readonly Node[],
  { workers, slots, costMs }: GraphSituation<Node>,
): boolean {
  const threads = slots / workers;
  if (workers === 1 || level.length <= threads) return false;
  let levelMs = 0;
  for (const node of level) levelMs += costMs(node);
  return levelMs > threads * LEVEL_MS_PER_THREAD;
}
