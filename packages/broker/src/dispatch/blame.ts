import { ALONE_PATIENCE_MS } from "../intervals.ts";

/** What is known of a call whose batch was lost with its worker. */
export interface LostCall {
  /** Was it to run while its worker's process computed nothing else? */
  readonly isAlone: boolean;
  /** Had its worker said that it has begun? Of calls that take less than some milliseconds, it does not. */
  readonly hasStarted: boolean;
  readonly isParked: boolean;
  /** Did it wait for calls of its own? */
  readonly isAwaitingAnswer: boolean;
  /** How often this has happened to it, and it was not suspected. */
  readonly losses: number;
}

export interface Blame<Call> {
  /** The process died of these: nothing else ran in it. */
  readonly blamed: readonly Call[];
  /** Each of these may be why, and runs again alone, so that the next death tells. */
  readonly suspects: readonly Call[];
  /** They run again as if nothing had been. */
  readonly others: readonly Call[];
}

/** How often a call is lost before it is suspected that waited, and rather met one that kills: a call of its own, or a suspect. */
const LOSSES_OF_WAITING = 3;

/**
 * Who of the calls of a lost batch may have killed the worker. Those that computed, as far as the worker had said so. It
 * says nothing of short ones, and one of these may do it again and again while others are suspected: so whoever is lost a
 * second time is suspected as well.
 */
export function blame<Call extends LostCall>(calls: readonly Call[]): Blame<Call> {
  const blamed: Call[] = [];
  const suspects: Call[] = [];
  const others: Call[] = [];
  for (const call of calls) {
    const { isAlone, hasStarted, isParked, isAwaitingAnswer, losses } = call;
    // While it waits, a call that is alone has others beside it, each of which is alone as well.
    const isRatherInnocent = isAwaitingAnswer || (isAlone && isParked);
    if (isAlone && !hasStarted) others.push(call);
    else if (isAlone && !isParked) blamed.push(call);
    else if ((hasStarted && !isParked) || losses >= (isRatherInnocent ? LOSSES_OF_WAITING : 1))
      suspects.push(call);
    else others.push(call);
  }
  return { blamed, suspects, others };
}

/**
 * A call is run alone after the first suspicion, so that the next one blames it, or nobody. But calls that it makes may
 * meet it in a thread again and again: so often, per time that it may crash, and then it counts as the one that kills.
 */
const MOST_SUSPICIONS = 3;

/**
 * Until when a call that is to run alone waits for a worker that is quiet; then it has company. A process that dies blames nobody
 * then, and suspects everybody who computed. Who has been suspected often goes on waiting: else company could bring a good call to
 * MOST_SUSPICIONS and one more, which ends it.
 */
export function aloneUntil({ suspicions }: Pick<Suspect, "suspicions">, now: number): number {
  return suspicions < MOST_SUSPICIONS ? now + ALONE_PATIENCE_MS : Number.POSITIVE_INFINITY;
}

/** How often a call was blamed for a death, and suspected. */
export interface Suspect {
  readonly crashes: number;
  readonly suspicions: number;
  /** How often it may be blamed and is run again all the same. */
  readonly crashRetries: number;
}

/** Is the call to be run no more? */
export function isGivenUp({ crashes, suspicions, crashRetries }: Suspect): boolean {
  return crashes > crashRetries || suspicions > MOST_SUSPICIONS * (crashRetries + 1);
}
