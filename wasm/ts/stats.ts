// Statistics, as the engine's `results.rs` writes them.

import type { BrokerStats, QueueStats } from "./api.js";
import type { Core } from "./core.js";
import { Reader } from "./reader.js";

/** In the engine's order. */
const QUEUE_NUMBERS = [
  "ready",
  "delayed",
  "leased",
  "held",
  "bytes",
  "produced",
  "acked",
  "nacked",
  "rejected",
  "released",
  "expired",
  "deadLettered",
  "redelivered",
  "dropped",
  "oldestAge",
  "head",
  "tail",
  "size",
] as const;
/** In the engine's order. */
const BROKER_NUMBERS = ["queues", "exchanges", "messages", "memory", "memoryLimit", "waiting"] as const;

/** What `stats` of a queue, or `queues`, answered. */
export function readQueues(core: Core): QueueStats[] {
  const reader = new Reader(core.bytes());
  return Array.from({ length: core.count() }, () => {
    const numbers = readNumbers(reader, QUEUE_NUMBERS);
    const limited = reader.long() !== 0n;
    const capacity = exact(reader.long());
    return { name: reader.text(), ...numbers, capacity: limited ? capacity : null } as QueueStats;
  });
}

/** What `stats` of the broker answered. */
export function readBroker(core: Core): BrokerStats {
  return readNumbers(new Reader(core.bytes()), BROKER_NUMBERS) as unknown as BrokerStats;
}

function readNumbers(reader: Reader, names: readonly string[]): Record<string, number | bigint> {
  return Object.fromEntries(names.map((name) => [name, exact(reader.long())]));
}

/** A number where that can hold it, a bigint where not. */
function exact(long: bigint): number | bigint {
  const value = BigInt.asUintN(64, long);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
