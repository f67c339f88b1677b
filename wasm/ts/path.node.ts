// Node: a broker that stores in a directory.

import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import type { Broker, OpenOptions, StorageInfo } from "./api.js";
import { BrokerHandle } from "./broker.js";
import { known } from "./checks.js";
import { WallClock } from "./clock.js";
import type { Core } from "./core.js";
import { invalid, shown } from "./errors.js";
import { Files } from "./files.node.js";
import { core, type Settings } from "./open.js";
import { Owner } from "./owner.node.js";
import type { StoreNative } from "./store.js";
import { store } from "./store.node.js";
import { Tickets } from "./tickets.js";

const STORAGE_OPTIONS: ReadonlySet<string> = new Set(["path"]);

/** Opens the broker stored in the directory that `path` or `storage` names. */
export async function openStored({ path, storage }: OpenOptions, settings: Settings): Promise<Broker> {
  if (path === undefined) {
    return openPath(
      directoryName(known<{ path?: unknown }>("storage", storage as object, STORAGE_OPTIONS).path),
      settings,
    );
  }
  if (storage !== undefined && storage !== "auto") {
    throw invalid(`path and storage ${shown(storage)} exclude each other; leave one of them out`);
  }
  return openPath(directoryName(path), settings);
}

/** A directory's name. Throws `InvalidArgument`. */
export function directoryName(path: unknown): string {
  if (typeof path === "string" && path !== "" && !path.includes("\0")) return path;
  throw invalid(`path is ${shown(path)}; pass the name of a directory`);
}

async function openPath(path: string, settings: Settings): Promise<Broker> {
  const clock = new WallClock();
  const { core: opened, native } = await core(store, settings, clock);
  try {
    const tickets = await openFiles(opened, native, path);
    clock.notBefore(native.engine_now());
    opened.log.debug(`broker opened in ${resolve(path)}`);
    return new BrokerHandle(opened, storageInfo(tickets.losses()), false, tickets);
  } catch (error) {
    opened.free();
    throw error;
  }
}

/** What a store in files is, and what of it was lost. */
export function storageInfo(damage: readonly string[]): StorageInfo {
  return { backend: "files", durability: "durable", persisted: true, damage };
}

/** Opens an engine over the files in a directory, which from here on is this process's. Nothing stays open if that is refused. */
export async function openFiles(core: Core, native: StoreNative, path: string): Promise<Tickets> {
  // What is meant now, wherever the process goes later.
  const directory = resolve(path);
  const owner = await Owner.take(directory);
  native.use_disk(randomBytes(8).readBigUInt64LE());
  const tickets = new Tickets(core, native, new Files(directory, owner));
  try {
    await tickets.open(owner.epoch);
  } catch (error) {
    await tickets.release(true);
    throw error;
  }
  return tickets;
}
