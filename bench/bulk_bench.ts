/** A mebibyte at a time, by calls of two sizes. */

import { benchConnected, read, startPeer, write } from "./clients.ts";

const MEBIBYTE = 1024 * 1024;
const source = await startPeer("source", 256 * 1024);
const sink = await startPeer("sink", 256 * 1024);

for (const kib of [64, 256]) {
  const buf = new Uint8Array(kib * 1024);
  await benchConnected(`receive 1 MiB, ${kib} KiB per read`, source, 1, ([conn]) => {
    return read(conn!, buf, MEBIBYTE);
  });
  await benchConnected(`send 1 MiB, ${kib} KiB per write`, sink, 1, async ([conn]) => {
    for (let at = 0; at < MEBIBYTE; at += buf.byteLength) await write(conn!, buf);
  });
}
