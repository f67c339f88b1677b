// The testing hooks: a clock that a test moves by hand, a disk whose syncs complete when told, a process that can be killed.

import type { Broker, Durability, Log } from "./api.js";
import { BrokerHandle } from "./broker.js";
import { integer, known } from "./checks.js";
import { ManualClock } from "./clock.js";
import type { Core } from "./core.js";
import type { Engine } from "./engine.js";
import { FerryError, invalid, shown } from "./errors.js";
import type { MemoryEngine } from "./memory.js";
import { core, memoryStorage } from "./open.js";
import type { StoreNative } from "./store.js";

const TESTING_OPTIONS: ReadonlySet<string> = new Set(["storage", "durability", "memoryLimit", "lease", "seed", "log"]);

/** What a broker under test is opened with. */
export interface TestingOptions {
  /** No store, or a store on a disk in memory whose syncs complete only when told. Default: `"memory"`. */
  readonly storage?: "memory" | "manual";
  readonly durability?: Durability;
  /** Bytes. */
  readonly memoryLimit?: number;
  /** Milliseconds. */
  readonly lease?: number;
  readonly log?: Log;
  /** Of the backoff's jitter. Default: 0. */
  readonly seed?: number;
}

/** What a test does to its broker. Times are milliseconds. */
export interface Testing {
  /** The clock; it starts at 0. */
  now(): number;
  /** Moves the clock; what falls due meanwhile happens in its order. */
  advanceTo(at: number): void;
  /** Asks for a sync of all that is written, and completes every sync that is outstanding. */
  sync(): void;
  /** The same, but they fail. */
  syncFails(): void;
  /** The process is gone: calls get `Closed`, what was written stays. */
  kill(): void;
  /** Power is gone: what was not synced is gone too. */
  powerCut(): void;
  /** Opens the same store anew under the same broker and queue objects. In memory there is nothing left to open: it is empty. */
  reopen(): Promise<void>;
}

/**
 * Opens a broker whose time and disk belong to a test.
 *
 * ```ts
 * import { openTesting } from "ferrymq/testing";
 * const { broker, testing } = await openTesting();
 * const queue = await broker.queue("q", { lease: 1000 });
 * await queue.produce("a");
 * await queue.consume();
 * testing.advanceTo(1000);
 * console.log((await queue.consume())?.attempt); // 2
 * ```
 */
export type OpenTesting = (options?: TestingOptions) => Promise<{ broker: Broker; testing: Testing }>;

/** @internal The `openTesting` of an entry that has these engines: `memory` is what is shipped for queues in memory, `store` is loaded for the manual disk. */
export function testingOpener(memory: MemoryEngine, store: () => Promise<Engine<typeof StoreNative>>): OpenTesting {
  return async function openTesting(options?: TestingOptions) {
    const passed = known<TestingOptions>("openTesting", options, TESTING_OPTIONS);
    const { storage = "memory", durability, memoryLimit, lease, seed = 0, log } = passed;
    if (storage !== "memory" && storage !== "manual") {
      throw invalid(`storage is ${shown(storage)}; pass "memory" or "manual"`);
    }
    integer("seed", seed, 0, 2 ** 32 - 1);
    const clock = new ManualClock();
    const settings = { durability, memoryLimit, lease, seed, log };
    let opened: Core;
    let disk: StoreNative | undefined;
    if (storage === "manual") {
      ({ core: opened, native: disk } = await core(store, settings, clock));
      disk.use_manual_disk();
    } else {
      ({ core: opened } = await core(memory, settings, clock));
    }
    const testing = new TestingHooks(opened, clock, disk);
    await testing.reopen();
    return { broker: new BrokerHandle(opened, memoryStorage(), true), testing };
  };
}

class TestingHooks implements Testing {
  readonly #core: Core;
  readonly #clock: ManualClock;
  /** The engine over the manual disk; none in memory, where nothing waits for a sync. */
  readonly #disk: StoreNative | undefined;

  constructor(core: Core, clock: ManualClock, disk: StoreNative | undefined) {
    this.#core = core;
    this.#clock = clock;
    this.#disk = disk;
  }

  now(): number {
    return this.#clock.now();
  }

  advanceTo(at: number): void {
    const { timers } = this.#core;
    // The engine's timers and the page's fire in the order of their time.
    for (let next = timers.next; next <= at; next = timers.next) {
      this.#moveTo(Math.max(next, this.now()));
      timers.fire();
    }
    this.#moveTo(at);
    this.#core.alarms?.look();
  }

  sync(): void {
    this.#core.poke(() => this.#disk?.sync(this.now(), true));
  }

  syncFails(): void {
    this.#core.poke(() => this.#disk?.sync(this.now(), false));
  }

  kill(): void {
    this.#die(false, "the process was killed; reopen the broker");
  }

  powerCut(): void {
    this.#die(true, "the power was cut; reopen the broker");
  }

  async reopen(): Promise<void> {
    const core = this.#core;
    if (core.open && core.opening > 0)
      this.#die(false, "the broker was opened anew while this call waited; call again");
    core.reopen(core.opening + 1);
  }

  #moveTo(at: number): void {
    this.#clock.moveTo(at);
    this.#core.poke((native) => native.advance(at));
  }

  #die(power: boolean, message: string): void {
    this.#core.poke((native) => native.kill(power));
    this.#core.end(new FerryError("Closed", message));
  }
}
