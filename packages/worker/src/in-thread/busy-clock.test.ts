import { expect, test } from "vitest";
import { BusyClock } from "./busy-clock.ts";

/** An event loop whose activity the test decides. */
class Loop {
  activeMs = 100;
  readonly clock = new BusyClock(() => this.activeMs);

  works(milliseconds: number): void {
    this.activeMs += milliseconds;
  }
}

test("a call under way alone costs what the loop does meanwhile", () => {
  const loop = new Loop();
  const begun = loop.clock.begin();
  loop.works(3);
  expect(loop.clock.end(begun)).toBe(3);
});

test("a call costs nothing for what the loop does before it and after it", () => {
  const loop = new Loop();
  loop.works(7);
  const first = loop.clock.begin();
  expect(loop.clock.end(first)).toBe(0);
  loop.works(5);
  const second = loop.clock.begin();
  expect(loop.clock.end(second)).toBe(0);
});

test("calls under way together share what the loop does", () => {
  const loop = new Loop();
  const first = loop.clock.begin();
  loop.works(2);
  const second = loop.clock.begin();
  loop.works(6);
  expect(loop.clock.end(first)).toBe(2 + 3);
  loop.works(4);
  expect(loop.clock.end(second)).toBe(3 + 4);
});

test("what one call did alone is not charged to the others", () => {
  const loop = new Loop();
  const waiting = loop.clock.begin();
  loop.works(50);
  loop.clock.alone(50);
  loop.works(1);
  expect(loop.clock.end(waiting)).toBe(1);
});
