/**
 * What a descriptor of the simulated kernel stands for, and the epoll that watches them.
 *
 * @module
 */

import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT } from "../../ffi/linux/abi.ts";

/** An open file. */
export abstract class File {
  /** How many descriptors it has. */
  descriptors = 0;
  readonly items: Set<Item> = new Set();
  /** Called whenever something may have changed, for those who are no epoll. */
  readonly watchers: Set<() => void> = new Set();

  /** `EPOLL*` bits as poll(2) would give them now. */
  abstract poll(): number;

  /** The last descriptor was closed. */
  abstract release(): void;

  /** Something may have changed: those that watch are told. */
  wake(): void {
    for (const item of this.items) item.epoll.onWake(item);
    for (const watcher of [...this.watchers]) watcher();
  }
}

/** A file in an epoll. */
export interface Item {
  readonly epoll: Epoll;
  readonly file: File;
  readonly fd: number;
  /** `EPOLL*` bits that are asked for. */
  events: number;
  /** The two words of `epoll_data`. */
  low: number;
  high: number;
  /** Whether it is on the ready list. */
  isReady: boolean;
}

/** What epoll_wait(2) reports. */
export interface Report {
  readonly events: number;
  readonly item: Item;
}

/** An epoll: a ready list, whose entries are asked for their state when it is read, as in the kernel. */
export class Epoll extends File {
  readonly #items = new Map<number, Item>();
  #ready: Item[] = [];

  /** False if the descriptor is there already. */
  add(file: File, fd: number, events: number, low: number, high: number): boolean {
    if (this.#items.has(fd)) return false;
    const item: Item = { epoll: this, file, fd, events, low, high, isReady: false };
    this.#items.set(fd, item);
    file.items.add(item);
    if (file.poll() & mask(events)) this.onWake(item);
    return true;
  }

  /** False if the descriptor is not there. */
  modify(fd: number, events: number, low: number, high: number): boolean {
    const item = this.#items.get(fd);
    if (item === undefined) return false;
    Object.assign(item, { events, low, high });
    if (item.file.poll() & mask(events)) this.onWake(item);
    return true;
  }

  /** False if the descriptor is not there. */
  remove(fd: number): boolean {
    const item = this.#items.get(fd);
    if (item === undefined) return false;
    this.forget(item);
    return true;
  }

  forget(item: Item): void {
    this.#items.delete(item.fd);
    item.file.items.delete(item);
    if (item.isReady) this.#ready.splice(this.#ready.indexOf(item), 1);
    item.isReady = false;
  }

  onWake(item: Item): void {
    if (mask(item.events) === 0) return;
    if (!item.isReady) this.#ready.push(item);
    item.isReady = true;
    // Even where it is on the list already, as in `ep_poll_callback`: what is there may be no more.
    this.wake();
  }

  override poll(): number {
    return this.isReadable ? EPOLLIN : 0;
  }

  /** Whether epoll_wait(2) would report something. */
  get isReadable(): boolean {
    return this.#ready.some(({ file, events }) => (file.poll() & mask(events)) !== 0);
  }

  /** Everything that is watched, for events that have no reason. */
  get watched(): readonly Item[] {
    return [...this.#items.values()];
  }

  /** Takes reports off the ready list; `select` says which come now, and in which order. */
  take(select: (ready: readonly Item[]) => Item[]): Report[] {
    const reports: Report[] = [];
    for (const item of select(this.#ready)) {
      this.#ready.splice(this.#ready.indexOf(item), 1);
      item.isReady = false;
      const events = item.file.poll() & mask(item.events);
      if (events === 0) continue;
      reports.push({ events, item });
      if (item.events & EPOLLONESHOT) item.events = 0;
      else if (!(item.events & EPOLLET)) this.onWake(item);
    }
    return reports;
  }

  override release(): void {
    for (const item of [...this.#items.values()]) this.forget(item);
  }
}

/** What is asked for, and what is always told. */
function mask(events: number): number {
  const asked = events & ~(EPOLLET | EPOLLONESHOT);
  return asked === 0 ? 0 : asked | EPOLLERR | EPOLLHUP;
}
