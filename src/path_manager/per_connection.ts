/**
 * Commands for one connection, given by its token: what a path manager in user space does. The
 * kernel takes them for connections whose sockets were made while `net.mptcp.path_manager` was
 * "userspace".
 *
 * @module
 */

import {
  MPTCP_PM_ADDR_FLAG_BACKUP,
  MPTCP_PM_ADDR_FLAG_SIGNAL,
  MPTCP_PM_ATTR_ADDR,
  MPTCP_PM_ATTR_ADDR_REMOTE,
  MPTCP_PM_ATTR_LOC_ID,
  MPTCP_PM_ATTR_TOKEN,
  MPTCP_PM_CMD_ANNOUNCE,
  MPTCP_PM_CMD_REMOVE,
  MPTCP_PM_CMD_SET_FLAGS,
  MPTCP_PM_CMD_SUBFLOW_CREATE,
  MPTCP_PM_CMD_SUBFLOW_DESTROY,
} from "../../ffi/linux/abi_netlink.ts";
import { ERRNO } from "../../ffi/linux/errno.ts";
import { MptcpError } from "../error.ts";
import { AttributeBuilder } from "../netlink/attributes.ts";
import type { MptcpConn } from "../types.ts";
import { addressBytes, encodeAddress, mappedForm } from "../kernel/pm_address.ts";
import { checkId, checkRange, interfaceIndex } from "../kernel/checks.ts";
import type { CommandContext, KernelPathManager } from "../kernel/mptcp_pm.ts";
import type { AnnounceOptions, CreateSubflowOptions, SubflowEnds } from "./types.ts";

/** The token of a connection. */
export function tokenOf(connection: MptcpConn | number): number {
  if (typeof connection === "number") return checkRange("token", connection, 0, 2 ** 32 - 1);
  const token = connection.info()?.token;
  if (token !== undefined) return token;
  const state = connection.fd < 0 ? "is closed" : `speaks ${connection.protocol}`;
  throw new MptcpError(`The connection ${state}: only MPTCP connections have paths to manage`, {
    code: "ERR_NOT_MPTCP",
  });
}

/** Announces an address to the peer of one connection. */
export function announce(
  kernel: KernelPathManager,
  connection: MptcpConn | number,
  { address, id, port, device }: AnnounceOptions,
  netns?: string,
): void {
  const attributes = forToken(connection).nested(
    MPTCP_PM_ATTR_ADDR,
    encodeAddress({
      bytes: addressBytes("address", address),
      id: checkId("id", id),
      port: checkOptionalPort("port", port),
      flags: MPTCP_PM_ADDR_FLAG_SIGNAL,
      interfaceIndex: interfaceIndex(device, netns),
    }),
  );
  kernel.command(MPTCP_PM_CMD_ANNOUNCE, attributes, {
    operation: "announce",
    name: "MPTCP_PM_CMD_ANNOUNCE",
    since: "5.19",
    address,
  });
}

/** Withdraws an address from the peer of one connection. */
export function withdraw(
  kernel: KernelPathManager,
  connection: MptcpConn | number,
  id: number,
): void {
  // 0 is the address that the connection began with.
  const attributes = forToken(connection).u8(MPTCP_PM_ATTR_LOC_ID, checkRange("id", id, 0, 255));
  kernel.command(MPTCP_PM_CMD_REMOVE, attributes, {
    operation: `withdraw address ${id}`,
    name: "MPTCP_PM_CMD_REMOVE",
    since: "5.19",
  });
}

/** Opens a subflow of one connection. */
export function createSubflow(
  kernel: KernelPathManager,
  connection: MptcpConn | number,
  options: CreateSubflowOptions,
  netns?: string,
): void {
  const { localAddress, localId, device, remoteAddress, remotePort, backup = false } = options;
  const local = encodeAddress({
    bytes: addressBytes("localAddress", localAddress),
    id: checkId("localId", localId),
    flags: backup ? MPTCP_PM_ADDR_FLAG_BACKUP : undefined,
    interfaceIndex: interfaceIndex(device, netns),
  });
  const remote = encodeAddress({
    bytes: addressBytes("remoteAddress", remoteAddress),
    port: checkRange("remotePort", remotePort, 1, 65535),
  });
  const attributes = forToken(connection)
    .nested(MPTCP_PM_ATTR_ADDR, local).nested(MPTCP_PM_ATTR_ADDR_REMOTE, remote);
  kernel.command(MPTCP_PM_CMD_SUBFLOW_CREATE, attributes, {
    operation: `create a subflow from ${localAddress} to`,
    name: "MPTCP_PM_CMD_SUBFLOW_CREATE",
    since: "5.19",
    address: remoteAddress,
    port: remotePort,
  });
}

/** Closes a subflow of one connection. */
export function destroySubflow(
  kernel: KernelPathManager,
  connection: MptcpConn | number,
  subflow: SubflowEnds,
): void {
  commandOnSubflow(kernel, MPTCP_PM_CMD_SUBFLOW_DESTROY, connection, subflow, {}, {
    operation: "destroy the subflow to",
    name: "MPTCP_PM_CMD_SUBFLOW_DESTROY",
    since: "5.19",
  });
}

/** Makes a subflow of one connection a backup, or a full path again. */
export function setBackup(
  kernel: KernelPathManager,
  connection: MptcpConn | number,
  subflow: SubflowEnds,
  backup: boolean,
): void {
  const flags = backup ? MPTCP_PM_ADDR_FLAG_BACKUP : 0;
  commandOnSubflow(kernel, MPTCP_PM_CMD_SET_FLAGS, connection, subflow, { flags }, {
    operation: "change the priority of the subflow to",
    name: "MPTCP_PM_CMD_SET_FLAGS",
    since: "5.19",
  });
}

/**
 * A command on a subflow by its ends. An IPv4 subflow of an IPv6 socket may be an IPv6 one with
 * mapped addresses, which looks the same to users: if the one form is not found the other is tried.
 */
function commandOnSubflow(
  kernel: KernelPathManager,
  command: number,
  connection: MptcpConn | number,
  { localAddr, remoteAddr }: SubflowEnds,
  { flags }: { flags?: number },
  context: CommandContext,
): void {
  const token = tokenOf(connection);
  const local = addressBytes("localAddr", localAddr.hostname);
  const remote = addressBytes("remoteAddr", remoteAddr.hostname);
  const localPort = checkRange("localAddr.port", localAddr.port, 1, 65535);
  const remotePort = checkRange("remoteAddr.port", remoteAddr.port, 1, 65535);
  const run = (local: Uint8Array, remote: Uint8Array) => {
    const attributes = forToken(token)
      .nested(MPTCP_PM_ATTR_ADDR, encodeAddress({ bytes: local, port: localPort, flags }))
      .nested(MPTCP_PM_ATTR_ADDR_REMOTE, encodeAddress({ bytes: remote, port: remotePort }));
    kernel.command(command, attributes, {
      ...context,
      address: remoteAddr.hostname,
      port: remotePort,
    });
  };
  const mapped = [mappedForm(local), mappedForm(remote)] as const;
  try {
    run(local, remote);
  } catch (error) {
    if (!isNotFound(error) || mapped[0] === null || mapped[1] === null) throw error;
    run(mapped[0], mapped[1]);
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof MptcpError && error.errno === ERRNO.ESRCH;
}

function forToken(connection: MptcpConn | number): AttributeBuilder {
  return new AttributeBuilder().u32(MPTCP_PM_ATTR_TOKEN, tokenOf(connection));
}

function checkOptionalPort(name: string, port: unknown): number | undefined {
  return port === undefined ? undefined : checkRange(name, port, 1, 65535);
}
