// The store's files: what the engine asks of a disk, done by Node, as the native driver does it (core/src/driver/files.rs).

import { close, constants, fdatasync, fstat, fsync, open, read, readdir, stat, unlink, write } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Owner, said, segmentOf } from "./owner.node.js";
import {
  CREATE,
  DELETE,
  type Disk,
  type Given,
  LIST,
  READ,
  SYNC,
  SYNC_DIRECTORY,
  type Ticket,
  WRITE,
} from "./tickets.js";

const calls = {
  close: promisify(close),
  datasync: promisify(fdatasync),
  fstat: promisify(fstat),
  open: promisify(open),
  readdir: promisify(readdir) as (path: string) => Promise<string[]>,
  stat: promisify(stat),
  sync: promisify(fsync),
  unlink: promisify(unlink),
};

/** A new file is filled so much at a time. */
const ZEROS = new Uint8Array(1 << 20);

const DOING: Readonly<Record<number, string>> = {
  [LIST]: "listing the files",
  [CREATE]: "making a segment file",
  [DELETE]: "deleting a segment file",
  [SYNC_DIRECTORY]: "syncing the directory",
  [READ]: "reading a segment",
  [WRITE]: "writing to a segment",
  [SYNC]: "syncing a segment",
};

/** The files in a directory that this process owns. */
export class Files implements Disk {
  readonly #directory: string;
  readonly #owner: Owner;
  readonly #open = new Map<bigint, number>();

  constructor(directory: string, owner: Owner) {
    this.#directory = directory;
    this.#owner = owner;
  }

  perform(ticket: Ticket, done: (error: Error | undefined, given?: Given) => void): void {
    this.#attempt(ticket).then(
      (given) => done(undefined, given),
      (error) => done(new Error(`${DOING[ticket.what]} in ${this.#directory}: ${said(error)}`)),
    );
  }

  async close(givenUp: boolean): Promise<void> {
    for (const descriptor of this.#open.values()) await calls.close(descriptor).catch(() => {});
    this.#open.clear();
    await this.#owner.letGo(givenUp);
  }

  async #attempt(ticket: Ticket): Promise<Given> {
    const { what, file } = ticket;
    switch (what) {
      case LIST:
        return this.#list();
      case CREATE:
        return this.#create(file, ticket.length);
      case DELETE:
        return this.#delete(file);
      case SYNC_DIRECTORY:
        return this.#syncDirectory();
      case READ:
        return this.#read(file, ticket.offset, ticket.length);
      case WRITE: {
        // A segment begins: the store may have been taken over meanwhile.
        if (ticket.offset === 0) await this.#owner.check();
        return writeAll(await this.#descriptor(file), ticket.bytes ?? ZEROS.subarray(0, 0), ticket.offset);
      }
      default:
        return calls.datasync(await this.#descriptor(file)) as Promise<undefined>;
    }
  }

  #path(file: bigint): string {
    return join(this.#directory, `${file.toString(16).padStart(16, "0")}.seg`);
  }

  async #descriptor(file: bigint): Promise<number> {
    const own = this.#open.get(file);
    if (own !== undefined) return own;
    const descriptor = await calls.open(this.#path(file), constants.O_RDWR);
    this.#open.set(file, descriptor);
    return descriptor;
  }

  async #list(): Promise<Given> {
    const files: [bigint, number][] = [];
    for (const name of await calls.readdir(this.#directory)) {
      const file = segmentOf(name);
      if (file !== undefined) files.push([file, (await calls.stat(join(this.#directory, name))).size]);
    }
    return files;
  }

  /** Makes a file of zeros, so that no write fails later for want of room, and no sync has to change where it is. */
  async #create(file: bigint, length: number): Promise<undefined> {
    await this.#owner.check();
    const path = this.#path(file);
    const descriptor = await calls.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
    try {
      for (let at = 0; at < length; at += ZEROS.length) {
        await writeAll(descriptor, ZEROS.subarray(0, Math.min(ZEROS.length, length - at)), at);
      }
    } catch (error) {
      // A full disk keeps nothing of it.
      await calls.close(descriptor).catch(() => {});
      await calls.unlink(path).catch(() => {});
      throw error;
    }
    this.#open.set(file, descriptor);
    return undefined;
  }

  async #delete(file: bigint): Promise<undefined> {
    await this.#owner.check();
    const descriptor = this.#open.get(file);
    this.#open.delete(file);
    if (descriptor !== undefined) await calls.close(descriptor);
    await calls.unlink(this.#path(file));
    return undefined;
  }

  async #syncDirectory(): Promise<undefined> {
    const descriptor = await calls.open(this.#directory, constants.O_RDONLY);
    try {
      await calls.sync(descriptor);
    } finally {
      await calls.close(descriptor);
    }
    return undefined;
  }

  /** Short only at the end of the file. */
  async #read(file: bigint, offset: number, length: number): Promise<Uint8Array> {
    const descriptor = await this.#descriptor(file);
    const { size } = await calls.fstat(descriptor);
    const bytes = new Uint8Array(Math.max(Math.min(length, size - offset), 0));
    let filled = 0;
    while (filled < bytes.length) {
      const got = await readSome(descriptor, bytes, filled, offset + filled);
      if (got === 0) break;
      filled += got;
    }
    return bytes.subarray(0, filled);
  }
}

function readSome(descriptor: number, bytes: Uint8Array, from: number, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, bytes, from, bytes.length - from, at, (error, got) => (error ? reject(error) : resolve(got)));
  });
}

function writeAll(descriptor: number, bytes: Uint8Array, at: number): Promise<undefined> {
  return new Promise((resolve, reject) => {
    const from = (written: number) => {
      if (written === bytes.length) return resolve(undefined);
      write(descriptor, bytes, written, bytes.length - written, at + written, (error, some) =>
        error ? reject(error) : from(written + some),
      );
    };
    from(0);
  });
}
