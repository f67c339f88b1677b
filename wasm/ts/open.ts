// Opening a broker: options to an engine.

import type { Broker, OpenOptions, StorageInfo } from "./api.js";
import { BrokerHandle } from "./broker.js";
import { durability, integer, known, optionalDuration, text } from "./checks.js";
import { type Clock, WallClock } from "./clock.js";
import { Core } from "./core.js";
import type { Engine } from "./engine.js";
import { invalid, shown } from "./errors.js";
import { checkedLog } from "./log.js";
import type { MemoryEngine } from "./memory.js";
import type { Native } from "./native/ferrymq_wasm.js";
import type { StoreNative } from "./store.js";
import type { Tickets } from "./tickets.js";

const OPEN_OPTIONS: ReadonlySet<string> = new Set([
  "name",
  "path",
  "storage",
  "durability",
  "memoryLimit",
  "lease",
  "log",
]);

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

/** What can store in directories, loaded when it is first needed. */
export interface StoreModule {
  openStored(options: OpenOptions, settings: Settings): Promise<Broker>;
  directoryName(path: unknown): string;
  openFiles(core: Core, native: StoreNative, path: string): Promise<Tickets>;
}

/** The `open` of an entry that has this engine for queues in memory, and perhaps can store in directories. */
export function opener(
  memory: MemoryEngine,
  directories?: () => Promise<StoreModule>,
): (options?: OpenOptions) => Promise<Broker> {
  return async function open(options?: OpenOptions): Promise<Broker> {
    const passed = known<OpenOptions>("open", options, OPEN_OPTIONS);
    if (passed.name !== undefined) text("name", passed.name);
    const { durability, memoryLimit, lease, log } = passed;
    const settings = { durability, memoryLimit, lease, seed: random(), log };
    if (directories !== undefined && !inMemory(passed, true)) return (await directories()).openStored(passed, settings);
    inMemory(passed, false);
    const { core: opened } = await core(memory, settings, new WallClock());
    opened.reopen(random());
    opened.log.debug("broker opened in memory");
    return new BrokerHandle(opened, memoryStorage(), false);
  };
}

/** What memory really is, whatever was asked. */
export function memoryStorage(): StorageInfo {
  return { backend: "memory", durability: "memory", persisted: false, damage: [] };
}

/** Whether queues are kept in memory; if not, in a directory. */
function inMemory({ path, storage }: OpenOptions, directories: boolean): boolean {
  if (path === undefined && (storage === undefined || storage === "auto" || storage === "memory")) return true;
  if (directories && (path !== undefined || (typeof storage === "object" && storage !== null))) return false;
  throw invalid(
    path === undefined
      ? `storage is ${shown(storage)}; pass "auto" or "memory", or in Node { path }`
      : "only Node has directories; leave path out to keep queues in memory",
  );
}

/** Tells one opening's tokens from another's, and spreads retries; nothing secret. */
function random(): number {
  return (Math.random() * 0xffff_ffff + 1) >>> 0;
}
