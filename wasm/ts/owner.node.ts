// Who owns a store in a directory: one process at a time, as the native driver has it (core/src/driver/owner.rs). Node has no file locks, so the file OWNER says who it is; the native driver honours it.
// Between programs of Node a socket decides whose name is the directory's: the system gives it to one, and takes it back when its holder is gone (Linux).

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, stat, statfs } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { FerryError, invalid } from "./errors.js";

const OWNER = "OWNER";
/** The native driver's lock. */
const LOCK = "LOCK";
const FORMAT = "format 1";
/** Most bytes of OWNER that are read. */
const OWNER_BYTES_MAX = 4096;
const EPOCH_MAX = 2 ** 32 - 1;

const SEGMENT = /^[0-9a-f]{16}\.seg$/;

/** File systems over a network, by the number that Linux knows them by: their locks and syncs do not promise what a store needs. Source: statfs(2). */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x564c, "NCP"],
  [0x5346414f, "AFS"],
  [0x73757245, "Coda"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
]);

/** What OWNER says. */
interface Claim {
  /** 0: nobody. */
  readonly pid: number;
  /** Which boot of the machine; empty where that cannot be told. */
  readonly boot: string;
  /** When the process began, in ticks since boot; 0 where that cannot be told. */
  readonly start: number;
  /** Counts the owners. */
  readonly epoch: number;
  readonly home: string;
}

const NOBODY: Claim = { pid: 0, boot: "", start: 0, epoch: 0, home: "" };

/** Stores that are open here, by device and inode. */
const openHere = new Set<string>();

/** A store that this process owns, until it lets go. */
export class Owner {
  readonly #file: FileHandle;
  readonly #claim: Claim;
  readonly #place: string;
  readonly #guard: Server | undefined;

  private constructor(file: FileHandle, claim: Claim, place: string, guard: Server | undefined) {
    this.#file = file;
    this.#claim = claim;
    this.#place = place;
    this.#guard = guard;
  }

  /**
   * Takes a directory for this process; makes it if it is not there. Touches nothing in a directory that is not a store. Throws `InvalidArgument` for what is no store, `StoreLocked` if somebody else
   * owns it, `StoreFailed` if the system refuses.
   */
  static async take(directory: string): Promise<Owner> {
    await makeDirectory(directory);
    await checkIsStore(directory);
    await checkFileSystem(directory);
    const place = await placeOf(directory);
    if (openHere.has(place)) throw locked(directory, await claimOf(directory), true);
    openHere.add(place);
    let guard: Server | undefined;
    let file: FileHandle | undefined;
    try {
      guard = await takeName(directory, place);
      file = await open(join(directory, OWNER), constants.O_RDWR | constants.O_CREAT);
      const claim = await claimFor(directory, file);
      return new Owner(file, claim, place, guard);
    } catch (error) {
      await file?.close();
      guard?.close();
      openHere.delete(place);
      throw error instanceof FerryError ? error : refused(directory, error);
    }
  }

  /** The number of this opening. */
  get epoch(): number {
    return this.#claim.epoch;
  }

  /** Throws if the store is not this process's any more. */
  async check(): Promise<void> {
    const claim = await readClaim(this.#file);
    if (claim === undefined) {
      throw new Error("the file OWNER does not say any more that this process owns the store");
    }
    if (textOf(claim) !== textOf(this.#claim)) {
      throw new Error(
        `process ${claim.pid} has taken the store over (epoch ${claim.epoch}, this one has ${this.#claim.epoch})`,
      );
    }
  }

  /** Lets go; with `givenUp` says that nobody owns it. Never rejects. */
  async letGo(givenUp: boolean): Promise<void> {
    try {
      if (givenUp) {
        await this.check();
        // If that fails it costs the next owner no more than a look at the processes.
        await writeClaim(this.#file, { ...this.#claim, pid: 0 });
      }
    } catch {
      // It is somebody else's, or the disk fails: then OWNER stays as it is.
    }
    await this.#file.close().catch(() => {});
    this.#guard?.close();
    openHere.delete(this.#place);
  }
}

/** Which of its files is a segment's; its number. */
export function segmentOf(name: string): bigint | undefined {
  return SEGMENT.test(name) ? BigInt(`0x${name.slice(0, 16)}`) : undefined;
}

/** A refusal by the system. */
export function refused(directory: string, error: unknown): FerryError {
  return failed(`the store ${directory} cannot be opened: ${said(error)}`, error);
}

/** What the system says, and what to do where that is clear. */
export function said(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return `${message}${HINTS[code ?? ""] ?? ""}`;
}

const RIGHTS = "; give this user the right to read and write there, or choose another directory";
const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "; free some space, then open the store again",
  EDQUOT: "; raise the quota or free some space, then open the store again",
  EACCES: RIGHTS,
  EPERM: RIGHTS,
  EROFS: "; mount it for writing, or choose another directory",
};

function failed(message: string, cause?: unknown): FerryError {
  return new FerryError("StoreFailed", message, cause === undefined ? {} : { cause });
}

function locked(directory: string, claim: Claim, byThisProcess: boolean): FerryError {
  let who = "another process: close it there, or open another directory";
  if (byThisProcess) who = "this process, under another handle: use that one, or close it";
  else if (claim.pid !== 0) who = `process ${claim.pid}: close it there, or open another directory`;
  return new FerryError("StoreLocked", `the store ${directory} is open in ${who}`);
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory);
    // It is there after a power cut only if the one above was synced.
    await syncDirectory(dirname(directory));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(directory)).isDirectory()) return;
    if (code === "EEXIST") {
      throw invalid(`${directory} is a file; a store is a directory: choose another path`);
    }
    const hint = code === "ENOENT" ? "; make the directory above it first" : "";
    throw failed(`the directory ${directory} cannot be made: ${said(error)}${hint}`, error);
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A store, or an empty directory: everything else is somebody's. */
async function checkIsStore(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error) => {
    throw failed(`the store ${directory} cannot be read: ${said(error)}`, error);
  });
  if (names.some((name) => name === OWNER || SEGMENT.test(name))) return;
  const stranger = names.find((name) => name !== LOCK);
  if (stranger !== undefined) {
    throw invalid(
      `${directory} is not a store: it holds ${JSON.stringify(stranger)}, and nothing of FerryMQ's; choose an empty directory`,
    );
  }
}

async function checkFileSystem(directory: string): Promise<void> {
  // Where it cannot be told, it is not refused.
  const kind = await statfs(directory).catch(() => undefined);
  const name = process.platform === "linux" && kind !== undefined ? networkFileSystem(kind.type) : undefined;
  if (name !== undefined) {
    throw failed(
      `${directory} is on a network file system (${name}), whose locks and syncs cannot be relied on; choose a directory on a local disk`,
    );
  }
}

/** What a network file system of this number is called; nothing for a local one. */
export function networkFileSystem(kind: number): string | undefined {
  return NETWORK.get(kind >>> 0);
}

async function placeOf(directory: string): Promise<string> {
  const { dev, ino } = await stat(directory, { bigint: true });
  return `${dev}:${ino}`;
}

/** Takes the name of a directory among all programs of Node. Throws `StoreLocked` if somebody has it. */
async function takeName(directory: string, place: string): Promise<Server | undefined> {
  if (process.platform !== "linux") return undefined;
  const guard = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      guard.once("error", reject);
      // A name that is no file: it is gone with its holder.
      guard.listen({ path: `\0ferrymq:${place}`, exclusive: true }, resolve);
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") return undefined;
    const claim = await claimOf(directory);
    throw locked(directory, claim, claim.pid === process.pid);
  }
  guard.unref();
  return guard;
}

/** Claims a directory, unless somebody has who is alive. */
async function claimFor(directory: string, file: FileHandle): Promise<Claim> {
  const before = (await readClaim(file)) ?? (await lostClaim(directory));
  // This process itself holds no other handle: that one would have the name.
  if (before.pid !== process.pid && (await isAlive(before))) throw locked(directory, before, false);
  if (await hasNativeLock(directory)) throw locked(directory, NOBODY, false);
  const claim: Claim = {
    pid: process.pid,
    boot: await boot(),
    start: (await startOf(process.pid)) ?? 0,
    epoch: Math.min(before.epoch + 1, EPOCH_MAX),
    home: "node",
  };
  await writeClaim(file, claim);
  // A native owner takes its lock before it reads OWNER: either it saw this claim, or this sees its lock.
  if (await hasNativeLock(directory)) {
    await writeClaim(file, before);
    throw locked(directory, NOBODY, false);
  }
  await syncDirectory(directory);
  return claim;
}

/**
 * What stands for a claim that cannot be read, or is not there. The number of an opening must be new in a store: where there is one, it goes on from the seconds since 1970, of which no owners can have
 * been as many.
 */
async function lostClaim(directory: string): Promise<Claim> {
  const isNew = !(await readdir(directory)).some((name) => SEGMENT.test(name));
  return isNew ? NOBODY : { ...NOBODY, epoch: Math.floor(Date.now() / 1000) };
}

/** Whether the native driver has the lock that it holds while it has the store open. Source: proc_locks(5). */
async function hasNativeLock(directory: string): Promise<boolean> {
  const lock = await stat(join(directory, LOCK), { bigint: true }).catch(() => undefined);
  const locks = lock && (await readFile("/proc/locks", "utf8").catch(() => undefined));
  if (lock === undefined || locks === undefined) return false;
  const hex = (number: bigint) => number.toString(16).padStart(2, "0");
  const major = ((lock.dev >> 8n) & 0xfffn) | ((lock.dev >> 32n) & ~0xfffn);
  const minor = (lock.dev & 0xffn) | ((lock.dev >> 12n) & ~0xffn);
  const place = ` ${hex(major)}:${hex(minor)}:${lock.ino} `;
  return locks.split("\n").some((line) => line.includes("FLOCK") && line.includes(place));
}

async function claimOf(directory: string): Promise<Claim> {
  try {
    return parse(await readFile(join(directory, OWNER), "utf8")) ?? NOBODY;
  } catch {
    return NOBODY;
  }
}

async function readClaim(file: FileHandle): Promise<Claim | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(OWNER_BYTES_MAX), 0, OWNER_BYTES_MAX, 0);
  return parse(buffer.toString("utf8", 0, bytesRead));
}

async function writeClaim(file: FileHandle, claim: Claim): Promise<void> {
  const bytes = Buffer.from(textOf(claim));
  await file.write(bytes, 0, bytes.length, 0);
  await file.truncate(bytes.length);
  await file.datasync();
}

function textOf({ pid, boot, start, epoch, home }: Claim): string {
  return `${FORMAT}\npid ${pid}\nboot ${boot}\nstart ${start}\nepoch ${epoch}\nhome ${home}\n`;
}

/** Nothing: it does not say what OWNER says. */
function parse(text: string): Claim | undefined {
  const [format, ...lines] = text.split("\n");
  if (format !== FORMAT) return undefined;
  // A later version may say more.
  const said = new Map(lines.map((line) => [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)]));
  const number = (name: string) => Number(said.get(name) ?? 0);
  const claim = {
    pid: number("pid"),
    boot: said.get("boot") ?? "",
    start: number("start"),
    epoch: number("epoch"),
    home: said.get("home") ?? "",
  };
  return [claim.pid, claim.start, claim.epoch].every(Number.isSafeInteger) ? claim : undefined;
}

/** Whether who claims it still runs. A number that another process has got since is told by the time of its start. */
async function isAlive(claim: Claim): Promise<boolean> {
  if (claim.pid === 0 || claim.boot !== (await boot())) return false;
  const start = await startOf(claim.pid);
  return start !== undefined && (claim.start === 0 || start === 0 || start === claim.start);
}

/** Which boot of the machine this is; empty where that cannot be told. */
async function boot(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
}

/** When a process began; nothing: there is none, 0: that cannot be told. Source: proc_pid_stat(5). */
async function startOf(pid: number): Promise<number | undefined> {
  if (process.platform !== "linux") return runs(pid) ? 0 : undefined;
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  if (stat === undefined) return undefined;
  // The second field, the program's name, may hold anything but ends with the last bracket.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(") ") + 2).split(" ");
  // One that has ended and that nobody has asked about yet is no process any more.
  if (state === "Z" || state === "X") return undefined;
  return Number(fields[18] ?? 0);
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
