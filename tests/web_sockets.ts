/**
 * A WebSocket client by hand, on a connection that a test has made itself.
 *
 * @module
 */

import { assert, assertStringIncludes } from "@std/assert";
import type { MptcpConn } from "../mod.ts";
import { bytesOf, readUpTo } from "./sockets.ts";

/** Asks for a WebSocket, and reads the answer, which has to agree. */
export async function askForWebSocket(conn: MptcpConn): Promise<void> {
  const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  await conn.write(bytesOf(`GET / HTTP/1.1\r\nHost: x\r\n${upgrade}${key}\r\n`));
  let head = "";
  while (!head.endsWith("\r\n\r\n")) head += new TextDecoder().decode(await readUpTo(conn, 1));
  assertStringIncludes(head, "HTTP/1.1 101 ");
}

/** A frame of a client, masked with zeros. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  assert(payload.byteLength < 126);
  const head = [0x80 | opcode, 0x80 | payload.byteLength, 0, 0, 0, 0];
  return new Uint8Array([...head, ...payload]);
}

/** The payload of a short frame of a server. */
export async function readFrame(conn: MptcpConn): Promise<string> {
  const [, length] = await readUpTo(conn, 2);
  return new TextDecoder().decode(await readUpTo(conn, length!));
}
