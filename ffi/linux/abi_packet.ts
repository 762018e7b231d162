/**
 * Packet sockets of Linux: packet(7).
 *
 * @module
 */

export const AF_PACKET = 17;
export const SOCK_DGRAM = 2;
/** Of every protocol, in host byte order; `socket` takes it in network byte order. */
export const ETH_P_ALL = 3;
