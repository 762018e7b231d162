/**
 * Pipes, through which the kernel moves bytes from one socket to another without copying them: see
 * splice(2). A pipe is taken for bytes that are under way, and given back when it is empty, so that
 * there are as many as there are readers who are slow, and two descriptors for each.
 *
 * @module
 */

import {
  F_SETPIPE_SZ,
  IPPROTO_TCP,
  O_CLOEXEC,
  O_NONBLOCK,
  SO_PROTOCOL,
  SOL_SOCKET,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
} from "../../ffi/linux/abi.ts";
import { libc } from "../../ffi/runtime.ts";
import { getIntOption, isInterrupted } from "../poll/socket.ts";

/** Bytes that a pipe holds; the kernel may allow less. */
const PIPE_SIZE = 256 * 1024;
/** Empty pipes that are kept. */
const MAX_SPARE = 8;

/** Bytes on their way from one descriptor to another. */
export class Pipe {
  readonly #input: number;
  readonly #output: number;
  #count = 0;

  constructor(output: number, input: number) {
    this.#output = output;
    this.#input = input;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Takes what a socket has: the number of bytes, 0 at the end of the stream, or `-errno`. */
  fill(from: number): number {
    const count = splice(from, this.#input, PIPE_SIZE);
    if (count > 0) this.#count += count;
    return count;
  }

  /** Gives a socket what it has room for: the number of bytes, or `-errno`. */
  drain(to: number): number {
    const count = splice(this.#output, to, this.#count);
    if (count > 0) this.#count -= count;
    return count;
  }

  close(): void {
    libc().close(this.#input);
    libc().close(this.#output);
  }
}

function splice(from: number, to: number, length: number): number {
  let result;
  do result = libc().splice(from, to, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK); while (
    isInterrupted(result)
  );
  return result;
}

const spare: Pipe[] = [];
let users = 0;

/** An empty pipe; `null` where no descriptor is left for one. */
export function takePipe(): Pipe | null {
  const known = spare.pop();
  if (known !== undefined) return known;
  const fds = new Int32Array(2);
  if (libc().pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) return null;
  const [output, input] = fds as unknown as [number, number];
  // Without privileges there is a limit for all pipes of a user: then it stays as small as it is.
  libc().fcntl(input, F_SETPIPE_SZ, PIPE_SIZE);
  return new Pipe(output, input);
}

/** Takes an empty pipe back. */
export function givePipe(pipe: Pipe): void {
  if (spare.length < MAX_SPARE) spare.push(pipe);
  else pipe.close();
}

/** One more may take pipes. */
export function usePipes(): void {
  users++;
}

/** One fewer may. When nobody does, none is kept. */
export function leavePipes(): void {
  if (--users > 0) return;
  for (const pipe of spare.splice(0)) pipe.close();
}

/** Whether a socket is one of TCP, and not of MPTCP, even if that speaks TCP. */
export function isPlainTcp(fd: number): boolean {
  return getIntOption(fd, SOL_SOCKET, SO_PROTOCOL) === IPPROTO_TCP;
}
