/**
 * The set of descriptors that are watched for readiness: one edge-triggered epoll.
 *
 * An event names its descriptor by a slot of this set and by the number of the registration, never
 * by the descriptor itself: descriptors get reused, and an event may be older than that.
 *
 * @module
 */

import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  epoll_event,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
} from "../../ffi/linux/abi.ts";
import { libc } from "../../ffi/runtime.ts";
import { check } from "../error.ts";

/** A descriptor whose operations may have to wait. Subclasses hold the operations. */
export abstract class Source {
  /** -1 once closed. */
  fd: number;
  /** False after a call that would have blocked: an event has to come first. */
  readable = true;
  /** As `readable`, for the outgoing direction. */
  writable = true;
  /** True after a hang-up or an error: from then on only the call itself knows. */
  ended = false;
  /** Whether waiting keeps the process alive. */
  refed = true;
  /** How many operations wait. */
  waits = 0;
  /** Where the epoll has it; -1 while it is not registered. */
  slot = -1;
  /** The number of its registration. */
  registration = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Tries the waiting operations again. Must not throw. */
  abstract onReady(): void;
}

/** Events taken at once. */
const MAX_EVENTS = 256;
/** 32-bit words from one event to the next, and to the two words of data within an event. */
const EVENT_WORDS = epoll_event.size / 4;
const SLOT_WORD = epoll_event.data / 4;
const REGISTRATION_WORD = SLOT_WORD + 1;
const INTEREST = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
const READ_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
const WRITE_EVENTS = EPOLLOUT | EPOLLHUP | EPOLLERR;
const END_EVENTS = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/** See the module's documentation. */
export class Epoll {
  readonly fd: number;
  readonly #events = new Uint8Array(MAX_EVENTS * epoll_event.size);
  readonly #words = new Uint32Array(this.#events.buffer);
  readonly #event = new Uint8Array(epoll_event.size);
  readonly #eventWords = new Uint32Array(this.#event.buffer);
  readonly #sources: (Source | null)[] = [];
  readonly #freeSlots: number[] = [];
  #registrations = 0;

  constructor() {
    this.fd = check("epoll_create1", libc().epoll_create1(EPOLL_CLOEXEC));
  }

  /** Watches a source, unless it is watched already. */
  add(source: Source): void {
    if (source.slot >= 0) return;
    const slot = this.#freeSlots.pop() ?? this.#sources.length;
    const registration = this.#registrations = (this.#registrations + 1) >>> 0;
    const event = this.#eventWords;
    event[epoll_event.events / 4] = INTEREST;
    event[SLOT_WORD] = slot;
    event[REGISTRATION_WORD] = registration;
    const result = libc().epoll_ctl(this.fd, EPOLL_CTL_ADD, source.fd, this.#event);
    if (result < 0) {
      this.#sources[slot] = null;
      this.#freeSlots.push(slot);
      check("epoll_ctl", result);
    }
    source.slot = slot;
    source.registration = registration;
    this.#sources[slot] = source;
  }

  /** Forgets a source whose descriptor is about to be closed, which ends its registration. */
  forget(source: Source): void {
    if (source.slot < 0) return;
    this.#sources[source.slot] = null;
    this.#freeSlots.push(source.slot);
    source.slot = -1;
  }

  /** Forgets a source whose descriptor will live on in other hands. */
  remove(source: Source): void {
    if (source.slot < 0) return;
    libc().epoll_ctl(this.fd, EPOLL_CTL_DEL, source.fd, this.#event);
    this.forget(source);
  }

  /** Takes the pending events, without waiting; how many, for {@linkcode dispatch}. */
  take(): number {
    return Math.max(libc().epoll_wait(this.fd, this.#events, MAX_EVENTS, 0), 0);
  }

  /** Tells the sources of so many events, as {@linkcode take} gave them. */
  dispatch(count: number): void {
    const words = this.#words;
    for (let i = 0, at = 0; i < count; i++, at += EVENT_WORDS) {
      const source = this.#sources[words[at + SLOT_WORD]!];
      // Closed by what an earlier event of this batch has led to, or no source (`ffi/linux/owner.ts`).
      if (!source || source.registration !== words[at + REGISTRATION_WORD]) continue;
      const events = words[at]!;
      if (events & READ_EVENTS) source.readable = true;
      if (events & WRITE_EVENTS) source.writable = true;
      if (events & END_EVENTS) source.ended = true;
      if (source.waits > 0) source.onReady();
    }
  }
}

/** Whether the peer has ended its stream, however much of it is unread; false for no socket. */
export function hasPeerEnded(fd: number): boolean {
  const epoll = libc().epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return false;
  const event = new Uint8Array(epoll_event.size);
  new Uint32Array(event.buffer)[epoll_event.events / 4] = EPOLLRDHUP;
  const isAdded = libc().epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event) === 0;
  const count = isAdded ? libc().epoll_wait(epoll, event, 1, 0) : 0;
  libc().close(epoll);
  return count === 1;
}
