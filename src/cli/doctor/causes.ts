/**
 * What can keep a connection from MPTCP or from a second path, and what to do about it.
 *
 * @module
 */

/** The names of the causes, as `--json` has them. */
export type CauseName = keyof typeof SUMMARIES;

/** What each cause is, in a sentence. */
export const SUMMARIES = {
  "off": "MPTCP is switched off on this host",
  "no-kernel": "the kernel of this host has no MPTCP",
  "forbidden": "a security module or a seccomp filter does not allow MPTCP sockets",
  "unreachable": "the server cannot be reached, over MPTCP or TCP",
  "no-peer": "the server does not use MPTCP",
  "syn-stripped": "something on the path removes the MPTCP option of the SYN",
  "synack-stripped": "something on the path removes the MPTCP option of the SYN/ACK",
  "data-stripped": "something on the path removes the MPTCP option after the handshake",
  "option-reset": "something on the path resets connections that use MPTCP",
  "syn-dropped": "something on the path drops SYNs with the MPTCP option",
  "blackhole":
    "the kernel does not request MPTCP for a while, because earlier SYNs with it were dropped",
  "no-route": "the kernel could not open a second subflow: there is no route for it",
  "join-refused": "the server refuses further subflows",
  "join-dropped": "something on the second path drops SYNs with MP_JOIN",
  "elsewhere": "subflows reach a different server than the connection, as behind a load balancer",
  "path-blocked": "no connection to the server is possible over the second path",
  "announcement-lost": "the addresses that the server announces (ADD_ADDR) do not arrive",
  "announcement-ignored": "this host ignores the addresses that the server announces",
  "limits": "the limits of this host do not allow a second subflow",
  "no-endpoints": "this host has several interfaces, but no endpoint to open subflows from",
} as const;

/** What to do about each. */
export const ADVICE: Readonly<Record<keyof typeof SUMMARIES, string>> = {
  "off": "Run sysctl -w net.mptcp.enabled=1, and unset NO_MPTCP.",
  "no-kernel": "Use Linux 5.6 or later with CONFIG_MPTCP.",
  "forbidden":
    "Allow socket() with protocol 262 (IPPROTO_MPTCP) in the container's seccomp profile " +
    "or the security module's policy.",
  "unreachable": "Check the address, the port, and the firewalls on the path.",
  "no-peer": "Make the server listen with MPTCP: mptcp serve, mptcp proxy, or mptcpize run.",
  "syn-stripped": "Find the middlebox: repeat from other networks. Connections work over TCP.",
  "synack-stripped": "Find the middlebox: repeat from other networks. Connections work over TCP.",
  "data-stripped": "Find the middlebox, often a transparent proxy. Connections work over TCP.",
  "option-reset": "Make the firewall on the path allow TCP option 30, or connect with tcp@.",
  "syn-dropped":
    "Make the firewall on the path allow TCP option 30. Until then, connecting takes " +
    "seconds longer; connect with tcp@ to avoid that.",
  "blackhole": "Wait, or run sysctl -w net.mptcp.blackhole_timeout=3600, which ends the pause.",
  "no-route":
    "Add a route for the address of the second interface: ip rule add from ADDRESS table " +
    "N, and ip route add default via GATEWAY dev DEVICE table N.",
  "join-refused": "Raise the limits on the server: mptcp limits set --subflows 4.",
  "join-dropped":
    "Make the firewall on that path allow TCP option 30 for connections whose start it " +
    "has not seen.",
  "elsewhere":
    "Make the load balancer choose the server by client address, or announce each server's own " +
    "address with a port (mptcp endpoint add ADDRESS --signal --port PORT).",
  "path-blocked":
    "Check the routes and firewalls of that path, and that the server listens on the " +
    "address it announces.",
  "announcement-lost": "Use endpoints on this host instead: mptcp endpoint add ADDRESS --subflow.",
  "announcement-ignored": "Run mptcp limits set --add-addr-accepted 4 on this host.",
  "limits": "Run mptcp limits set --subflows 4 on this host.",
  "no-endpoints":
    "Run mptcp endpoint add ADDRESS --subflow for the second interface, or mptcp limits " +
    "set --add-addr-accepted 4 to use what servers announce.",
};
