/**
 * The address of an endpoint or of a subflow's end, as the attributes that the path manager takes
 * and gives.
 *
 * @module
 */

import { AF_INET, AF_INET6 } from "../../ffi/linux/abi.ts";
import {
  MPTCP_PM_ADDR_ATTR_ADDR4,
  MPTCP_PM_ADDR_ATTR_ADDR6,
  MPTCP_PM_ADDR_ATTR_FAMILY,
  MPTCP_PM_ADDR_ATTR_FLAGS,
  MPTCP_PM_ADDR_ATTR_ID,
  MPTCP_PM_ADDR_ATTR_IF_IDX,
  MPTCP_PM_ADDR_ATTR_PORT,
} from "../../ffi/linux/abi_netlink.ts";
import { formatIp, isIpv4Mapped, parseIp, toIpv4Mapped } from "../../ffi/linux/sockaddr.ts";
import { AttributeBuilder, type Attributes } from "../netlink/attributes.ts";
import { show } from "../show.ts";

/** The parts of an address; what is left out is not sent, or was not there. */
export interface AddressParts {
  readonly id?: number | undefined;
  /** 4 or 16 bytes. */
  readonly bytes?: Uint8Array | undefined;
  readonly port?: number | undefined;
  /** `MPTCP_PM_ADDR_FLAG_*` */
  readonly flags?: number | undefined;
  readonly interfaceIndex?: number | undefined;
}

/** The attributes of an address. */
export function encodeAddress(parts: AddressParts): AttributeBuilder {
  const { id, bytes, port, flags, interfaceIndex } = parts;
  const attributes = new AttributeBuilder();
  if (bytes?.length === 4) {
    attributes.u16(MPTCP_PM_ADDR_ATTR_FAMILY, AF_INET).bytes(MPTCP_PM_ADDR_ATTR_ADDR4, bytes);
  } else if (bytes !== undefined) {
    attributes.u16(MPTCP_PM_ADDR_ATTR_FAMILY, AF_INET6).bytes(MPTCP_PM_ADDR_ATTR_ADDR6, bytes);
  }
  if (id !== undefined) attributes.u8(MPTCP_PM_ADDR_ATTR_ID, id);
  if (port !== undefined) attributes.u16(MPTCP_PM_ADDR_ATTR_PORT, port);
  if (flags !== undefined) attributes.u32(MPTCP_PM_ADDR_ATTR_FLAGS, flags);
  if (interfaceIndex !== undefined) attributes.i32(MPTCP_PM_ADDR_ATTR_IF_IDX, interfaceIndex);
  return attributes;
}

/** The parts that attributes have. */
export function decodeAddress(attributes: Attributes): AddressParts {
  return {
    id: attributes.u8(MPTCP_PM_ADDR_ATTR_ID),
    bytes: attributes.bytes(MPTCP_PM_ADDR_ATTR_ADDR4, 4) ??
      attributes.bytes(MPTCP_PM_ADDR_ATTR_ADDR6, 16),
    port: attributes.u16(MPTCP_PM_ADDR_ATTR_PORT),
    flags: attributes.u32(MPTCP_PM_ADDR_ATTR_FLAGS),
    interfaceIndex: attributes.i32(MPTCP_PM_ADDR_ATTR_IF_IDX),
  };
}

/** The bytes of an IP address in text; an IPv4-mapped one is the IPv4 address that it is. */
export function addressBytes(name: string, text: unknown): Uint8Array {
  const ip = typeof text === "string" ? parseIp(text) : null;
  if (ip === null) {
    throw new TypeError(`Invalid ${name}: expected an IP address, got ${show(text)}`);
  }
  if (ip.zone !== "") {
    throw new TypeError(
      `Invalid ${name}: give the interface as the device, not as a zone in "${text}"`,
    );
  }
  return isIpv4Mapped(ip.bytes) ? ip.bytes.subarray(12) : ip.bytes;
}

/** The text of address bytes; an IPv4-mapped one is shown as the IPv4 address that it is. */
export function addressText(bytes: Uint8Array): string {
  return formatIp(isIpv4Mapped(bytes) ? bytes.subarray(12) : bytes);
}

/** The IPv4-mapped form of an IPv4 address; `null` for an IPv6 one. */
export function mappedForm(bytes: Uint8Array): Uint8Array | null {
  return bytes.length === 4 ? toIpv4Mapped(bytes) : null;
}
