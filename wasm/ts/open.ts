// Opening a broker: options to an engine.

import type { Broker, Durability, OpenOptions } from "./api.js";
import { BrokerHandle } from "./broker.js";
import { durability, integer, known, optionalDuration, text } from "./checks.js";
import { type Clock, WallClock } from "./clock.js";
import { Core } from "./core.js";
import type { Engine } from "./engine.js";
import { invalid, shown } from "./errors.js";
import { checkedLog } from "./log.js";
import type { MemoryEngine } from "./memory.js";
import type { Native } from "./native/ferrymq_wasm.js";

const OPEN_OPTIONS: ReadonlySet<string> = new Set(["name", "storage", "durability", "memoryLimit", "lease", "log"]);

/** What every opening is told. */
export interface Settings {
  readonly durability: unknown;
  readonly memoryLimit: unknown;
  readonly lease: unknown;
  readonly seed: number;
  readonly log: unknown;
}

/** What makes the engine's own half of a broker. */
type Making<N> = new (memoryLimit: number, lease: number, durability: number, seed: number, notices: boolean) => N;

/** An engine under a clock, not opened yet. */
export async function core<N extends Native>(
  engine: () => Promise<Engine<Making<N>>>,
  settings: Settings,
  clock: Clock,
): Promise<{ core: Core; native: N }> {
  const limit = settings.memoryLimit;
  const memoryLimit = limit === undefined ? Number.NaN : integer("memoryLimit", limit, 1, Number.MAX_SAFE_INTEGER);
  const lease = optionalDuration("lease", settings.lease);
  const level = durability(settings.durability);
  const log = checkedLog(settings.log);
  const { Native, memory } = await engine();
  const native = new Native(memoryLimit, lease, level, settings.seed, log !== undefined);
  return { core: new Core(native, memory, clock, log), native };
}

/** The `open` of an entry that has this engine for queues in memory. */
export function opener(memory: MemoryEngine): (options?: OpenOptions) => Promise<Broker> {
  return async function open(options?: OpenOptions): Promise<Broker> {
    const passed = known<OpenOptions>("open", options, OPEN_OPTIONS);
    if (passed.name !== undefined) text("name", passed.name);
    checkStorage(passed.storage);
    const { durability, memoryLimit, lease, log } = passed;
    const settings = { durability, memoryLimit, lease, seed: random(), log };
    const { core: opened } = await core(memory, settings, new WallClock());
    opened.reopen(random());
    opened.log.debug("broker opened in memory");
    return new BrokerHandle(opened, memoryStorage(), false);
  };
}

/** What memory really is, whatever was asked. */
export function memoryStorage(): { backend: "memory"; durability: Durability; persisted: boolean } {
  return { backend: "memory", durability: "memory", persisted: false };
}

function checkStorage(storage: unknown): void {
  if (storage === undefined || storage === "auto" || storage === "memory") return;
  const path = typeof storage === "object" && storage !== null && "path" in storage;
  throw invalid(
    `storage is ${path ? "a path" : shown(storage)}; this version keeps queues in memory: leave it out, or pass "auto" or "memory"`,
  );
}

/** Tells one opening's tokens from another's, and spreads retries; nothing secret. */
function random(): number {
  return (Math.random() * 0xffff_ffff + 1) >>> 0;
}
