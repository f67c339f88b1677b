// The testing hooks: a clock that a test moves by hand, a disk whose syncs complete when told, a process that can be killed.

import type { Broker, Durability, Log, StorageInfo } from "./api.js";
import { BrokerHandle, type Settling } from "./broker.js";
import { integer, known } from "./checks.js";
import { ManualClock } from "./clock.js";
import type { Core } from "./core.js";
import type { Engine } from "./engine.js";
import { FerryError, invalid, shown } from "./errors.js";
import type { MemoryEngine } from "./memory.js";
import { core, memoryStorage, type StoreModule } from "./open.js";
import type { StoreNative } from "./store.js";
import type { Tickets } from "./tickets.js";

const TESTING_OPTIONS: ReadonlySet<string> = new Set([
  "storage",
  "path",
  "durability",
  "memoryLimit",
  "lease",
  "seed",
  "log",
]);

/** What a broker under test is opened with. */
export interface TestingOptions {
  /**
   * No store; a store on a disk in memory whose syncs complete only when told, or when 1 MiB was written; or, in Node, a store in the directory `path`, whose files complete by themselves. Default: `"memory"`.
   */
  readonly storage?: "memory" | "manual" | "store";
  /** The directory of `storage: "store"`. */
  readonly path?: string;
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
  /** Asks for a sync of all that is written, and on the manual disk completes every sync that is outstanding. */
  sync(): void;
  /** The same, but they fail. */
  syncFails(): void;
  /** Asks for a sync of all that is written, and waits until the files have done everything that was asked of them. Resolves with whether there was anything to do. */
  idle(): Promise<boolean>;
  /** The process is gone: calls get `Closed`, what was written stays. */
  kill(): void;
  /** Power is gone: on the manual disk what was not synced is gone too. */
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

/**
 * @internal The `openTesting` of an entry that has these engines: `memory` is what is shipped for queues in memory, `store` is loaded for the manual disk, `directories` where there are files.
 */
export function testingOpener(
  memory: MemoryEngine,
  store: () => Promise<Engine<typeof StoreNative>>,
  directories?: () => Promise<StoreModule>,
): OpenTesting {
  return async function openTesting(options?: TestingOptions) {
    const passed = known<TestingOptions>("openTesting", options, TESTING_OPTIONS);
    const { storage = "memory", durability, memoryLimit, lease, seed = 0, log } = passed;
    checkStorage(storage, passed.path);
    integer("seed", seed, 0, 2 ** 32 - 1);
    const clock = new ManualClock();
    const settings = { durability, memoryLimit, lease, seed, log };
    if (storage === "memory") {
      const { core: opened } = await core(memory, settings, clock);
      return begun(opened, new TestingHooks(opened, clock));
    }
    const { core: opened, native } = await core(store, settings, clock);
    // Small segments, whatever comes to stand under them.
    native.use_manual_disk();
    if (storage === "manual") return begun(opened, new TestingHooks(opened, clock, native));
    if (directories === undefined) throw invalid('a page has no directories; pass storage "memory" or "manual"');
    const { directoryName, openFiles } = await directories();
    const path = directoryName(passed.path);
    const hooks = new TestingHooks(opened, clock, native, () => openFiles(opened, native, path));
    return begun(opened, hooks, hooks);
  };
}

async function begun(opened: Core, testing: TestingHooks, store?: Settling): ReturnType<OpenTesting> {
  await testing.reopen();
  const memory = memoryStorage();
  const storage: StorageInfo =
    store === undefined
      ? memory
      : { ...memory, backend: "files", durability: "durable", persisted: true, damage: testing.losses() };
  return { broker: new BrokerHandle(opened, storage, true, store), testing };
}

function checkStorage(storage: unknown, path: unknown): void {
  if (storage !== "memory" && storage !== "manual" && storage !== "store") {
    throw invalid(`storage is ${shown(storage)}; pass "memory", "manual" or "store"`);
  }
  if (storage !== "store" && path !== undefined) throw invalid('path is for storage: "store" only');
}

class TestingHooks implements Testing, Settling {
  readonly #core: Core;
  readonly #clock: ManualClock;
  /** The engine over a disk; none in memory, where nothing waits for a sync. */
  readonly #disk: StoreNative | undefined;
  readonly #openFiles: (() => Promise<Tickets>) | undefined;
  #tickets: Tickets | undefined;

  constructor(core: Core, clock: ManualClock, disk?: StoreNative, openFiles?: () => Promise<Tickets>) {
    this.#core = core;
    this.#clock = clock;
    this.#disk = disk;
    this.#openFiles = openFiles;
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

  async idle(): Promise<boolean> {
    const core = this.#core;
    if (this.#tickets === undefined || !core.open) return false;
    this.sync();
    return this.#tickets.idle();
  }

  losses(): string[] {
    return this.#tickets?.losses() ?? [];
  }

  async settle(): Promise<void> {
    await this.#tickets?.settle();
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
    if (this.#openFiles === undefined) {
      core.reopen(core.opening + 1);
    } else {
      // What the one before had under way.
      await this.#tickets?.release(true);
      this.#tickets = await this.#openFiles();
    }
  }

  #moveTo(at: number): void {
    this.#clock.moveTo(at);
    this.#core.poke((native) => native.advance(at));
  }

  #die(power: boolean, message: string): void {
    this.#core.poke((native) => native.kill(power));
    // Who is killed says nothing any more.
    void this.#tickets?.release(false);
    this.#core.end(new FerryError("Closed", message));
  }
}
