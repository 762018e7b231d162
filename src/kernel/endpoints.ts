/**
 * Endpoints: the addresses that the kernel's path manager uses by itself, for all connections of a
 * network namespace.
 *
 * @module
 */

import {
  MPTCP_PM_ADDR_FLAG_BACKUP,
  MPTCP_PM_ADDR_FLAG_FULLMESH,
  MPTCP_PM_ADDR_FLAG_IMPLICIT,
  MPTCP_PM_ADDR_FLAG_LAMINAR,
  MPTCP_PM_ADDR_FLAG_SIGNAL,
  MPTCP_PM_ADDR_FLAG_SUBFLOW,
  MPTCP_PM_ATTR_ADDR,
  MPTCP_PM_CMD_ADD_ADDR,
  MPTCP_PM_CMD_DEL_ADDR,
  MPTCP_PM_CMD_FLUSH_ADDRS,
  MPTCP_PM_CMD_GET_ADDR,
  MPTCP_PM_CMD_SET_FLAGS,
} from "../../ffi/linux/abi_netlink.ts";
import { libc } from "../../ffi/runtime.ts";
import { MptcpError } from "../error.ts";
import { AttributeBuilder } from "../netlink/attributes.ts";
import { inNetns } from "../poll/socket.ts";
import { show } from "../show.ts";
import {
  addressBytes,
  type AddressParts,
  addressText,
  decodeAddress,
  encodeAddress,
} from "./pm_address.ts";
import { checkId, checkRange, interfaceIndex } from "./checks.ts";
import type { KernelPathManager } from "./mptcp_pm.ts";
import type { Endpoint, EndpointFlags, EndpointOptions } from "./types.ts";

/** The bit of each flag, and the first kernel that knows it. */
const FLAGS: Readonly<Record<keyof EndpointFlags, { bit: number; since: string }>> = {
  signal: { bit: MPTCP_PM_ADDR_FLAG_SIGNAL, since: "5.7" },
  subflow: { bit: MPTCP_PM_ADDR_FLAG_SUBFLOW, since: "5.7" },
  backup: { bit: MPTCP_PM_ADDR_FLAG_BACKUP, since: "5.7" },
  fullmesh: { bit: MPTCP_PM_ADDR_FLAG_FULLMESH, since: "5.15" },
  laminar: { bit: MPTCP_PM_ADDR_FLAG_LAMINAR, since: "6.18" },
};

/** The endpoints, by id. */
export function listEndpoints(kernel: KernelPathManager, netns?: string): Endpoint[] {
  const answers = kernel.dump(MPTCP_PM_CMD_GET_ADDR, {
    operation: "list endpoints",
    name: "MPTCP_PM_CMD_GET_ADDR",
    since: "5.7",
  });
  const parts = answers.map((answer) => decodeAddress(answer.nested(MPTCP_PM_ATTR_ADDR)));
  const names = interfaceNames(parts, netns);
  return parts.flatMap((part) => toEndpoint(part, names));
}

/** The names of the interfaces that are mentioned, by their indexes. */
function interfaceNames(parts: AddressParts[], netns?: string): Map<number, string> {
  const indexes = new Set(parts.flatMap(({ interfaceIndex }) => interfaceIndex || []));
  if (indexes.size === 0) return new Map();
  return inNetns(netns, () => {
    // An interface that is gone has left its number.
    const name = (index: number) => libc().if_indextoname(index) ?? String(index);
    return new Map([...indexes].map((index) => [index, name(index)]));
  });
}

function toEndpoint(parts: AddressParts, names: Map<number, string>): Endpoint[] {
  const { id, bytes, port, flags = 0, interfaceIndex } = parts;
  if (id === undefined || bytes === undefined) return [];
  return [{
    id,
    address: addressText(bytes),
    port: port || undefined,
    device: names.get(interfaceIndex ?? 0),
    signal: (flags & MPTCP_PM_ADDR_FLAG_SIGNAL) !== 0,
    subflow: (flags & MPTCP_PM_ADDR_FLAG_SUBFLOW) !== 0,
    backup: (flags & MPTCP_PM_ADDR_FLAG_BACKUP) !== 0,
    fullmesh: (flags & MPTCP_PM_ADDR_FLAG_FULLMESH) !== 0,
    laminar: (flags & MPTCP_PM_ADDR_FLAG_LAMINAR) !== 0,
    implicit: (flags & MPTCP_PM_ADDR_FLAG_IMPLICIT) !== 0,
  }];
}

/** Adds an endpoint and reads it back. */
export function addEndpoint(
  kernel: KernelPathManager,
  options: EndpointOptions,
  netns?: string,
): Endpoint {
  const parts = checkEndpoint(options, netns);
  const address = addressText(parts.bytes!);
  const { port } = parts;
  const context = { address, ...(port !== undefined && { port }) };
  kernel.command(MPTCP_PM_CMD_ADD_ADDR, withAddress(parts), {
    operation: "add endpoint",
    name: "MPTCP_PM_CMD_ADD_ADDR",
    since: "5.7",
    ...context,
  });
  const added = listEndpoints(kernel, netns)
    .find((endpoint) => endpoint.address === address && endpoint.port === port);
  if (added === undefined) throw goneError("add endpoint", address);
  const dropped = droppedFlags(options, added);
  if (dropped.length === 0) return added;
  removeById(kernel, added.id);
  throw droppedError("add endpoint", address, dropped);
}

function checkEndpoint(options: EndpointOptions, netns?: string): AddressParts {
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Invalid options: expected an object");
  }
  const bytes = addressBytes("address", options.address);
  const id = options.id === undefined ? undefined : checkId("id", options.id);
  const { port } = options;
  if (port !== undefined) checkRange("port", port, 1, 65535);
  const flags = flagBits(options);
  return { id, bytes, port, flags, interfaceIndex: interfaceIndex(options.device, netns) };
}

function flagBits(flags: EndpointFlags): number {
  let bits = 0;
  for (const name of Object.keys(FLAGS) as (keyof EndpointFlags)[]) {
    const value: unknown = flags[name];
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(`Invalid ${name}: expected a boolean, got ${show(value)}`);
    }
    if (value) bits |= FLAGS[name].bit;
  }
  return bits;
}

function withAddress(parts: AddressParts): AttributeBuilder {
  return new AttributeBuilder().nested(MPTCP_PM_ATTR_ADDR, encodeAddress(parts));
}

/** Flags that were asked for and that the kernel has left out: it does not refuse unknown ones. */
function droppedFlags(asked: EndpointFlags, endpoint: Endpoint): (keyof EndpointFlags)[] {
  const names = Object.keys(FLAGS) as (keyof EndpointFlags)[];
  return names.filter((name) => asked[name] !== undefined && asked[name] !== endpoint[name]);
}

function droppedError(operation: string, address: string, names: (keyof EndpointFlags)[]) {
  const needs = names.map((name) => `${name} (Linux ${FLAGS[name].since})`).join(", ");
  return new MptcpError(
    `${operation} ${address}: this kernel ignored a flag that it does not support: ${needs}`,
    { name: "NotSupported", code: "EOPNOTSUPP", address },
  );
}

function goneError(operation: string, which: string): MptcpError {
  return new MptcpError(`${operation} ${which}: no such endpoint`, {
    name: "NotFound",
    code: "ENOENT",
  });
}

/** Changes the flags that can be changed, and reads the endpoint back. */
export function changeEndpoint(
  kernel: KernelPathManager,
  which: number | string,
  flags: Pick<EndpointFlags, "backup" | "fullmesh">,
  netns?: string,
): Endpoint {
  const { id, address, port, ...current } = findEndpoint(kernel, "change endpoint", which, netns);
  const wanted = { ...current, ...onlyGiven(flags) };
  // Looked up by the address: kernels before 5.17 do not take the id. Both flags are set at once.
  const parts = { id, bytes: addressBytes("address", address), port, flags: flagBits(wanted) };
  kernel.command(MPTCP_PM_CMD_SET_FLAGS, withAddress(parts), {
    operation: "change endpoint",
    name: "MPTCP_PM_CMD_SET_FLAGS",
    since: "5.12",
    address,
  });
  const changed = findEndpoint(kernel, "change endpoint", id, netns);
  const dropped = droppedFlags(onlyGiven(flags), changed);
  if (dropped.length > 0) throw droppedError("change endpoint", address, dropped);
  return changed;
}

/**
 * Sets the flags of an endpoint that is known to be there, with one command: all of them, for what is
 * left out is off.
 */
export function setEndpointFlags(
  kernel: KernelPathManager,
  id: number,
  address: string,
  flags: EndpointFlags,
): void {
  const parts = { id, bytes: addressBytes("address", address), flags: flagBits(flags) };
  kernel.command(MPTCP_PM_CMD_SET_FLAGS, withAddress(parts), {
    operation: "change endpoint",
    name: "MPTCP_PM_CMD_SET_FLAGS",
    since: "5.12",
    address,
  });
}

function onlyGiven({ backup, fullmesh }: EndpointFlags): EndpointFlags {
  return { ...(backup !== undefined && { backup }), ...(fullmesh !== undefined && { fullmesh }) };
}

function findEndpoint(
  kernel: KernelPathManager,
  operation: string,
  which: number | string,
  netns?: string,
): Endpoint {
  const address = typeof which === "string" ? addressText(addressBytes("address", which)) : null;
  if (address === null) checkId("id", which);
  const found = listEndpoints(kernel, netns)
    .filter((endpoint) => address === null ? endpoint.id === which : endpoint.address === address);
  if (found.length === 0) throw goneError(operation, String(which));
  if (found.length === 1) return found[0]!;
  const ids = found.map(({ id }) => id).join(", ");
  throw new MptcpError(
    `${operation} ${which}: several endpoints have this address (ids ${ids}): use an id`,
    { code: "EINVAL", address: String(which) },
  );
}

/**
 * Removes an endpoint. Always by its id: told an address alone, the kernel would take that address
 * from connections that began with it, and leave the endpoint.
 */
export function removeEndpoint(kernel: KernelPathManager, which: number | string): void {
  const id = typeof which === "string"
    ? findEndpoint(kernel, "remove endpoint", which).id
    : checkId("id", which);
  removeById(kernel, id);
}

function removeById(kernel: KernelPathManager, id: number): void {
  kernel.command(MPTCP_PM_CMD_DEL_ADDR, withAddress({ id }), {
    operation: `remove endpoint ${id}`,
    name: "MPTCP_PM_CMD_DEL_ADDR",
    since: "5.7",
  });
}

/** Removes all endpoints. */
export function flushEndpoints(kernel: KernelPathManager): void {
  kernel.command(MPTCP_PM_CMD_FLUSH_ADDRS, new AttributeBuilder(), {
    operation: "flush endpoints",
    name: "MPTCP_PM_CMD_FLUSH_ADDRS",
    since: "5.7",
  });
}
