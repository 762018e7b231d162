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
  "forbidden": "a security module or a seccomp filter forbids MPTCP sockets here",
  "unreachable": "the server cannot be reached, over MPTCP or TCP",
  "no-peer": "the server does not use MPTCP",
  "syn-stripped": "something on the way removes the MPTCP option of the SYN",
  "synack-stripped": "something on the way removes the MPTCP option of the SYN/ACK",
  "data-stripped": "something on the way removes the MPTCP option after the handshake",
  "option-reset": "something on the way resets connections that use MPTCP",
  "syn-dropped": "something on the way drops SYNs that have the MPTCP option",
  "blackhole":
    "the kernel does not use MPTCP for a while, because SYNs with it were dropped before",
  "no-route": "the kernel could not open a second subflow: there is no route for it",
  "join-refused": "the server refuses further subflows",
  "join-dropped": "something on the second path drops SYNs with MP_JOIN",
  "elsewhere": "subflows arrive at another server than the connection, as behind a load balancer",
  "path-blocked": "the second path lets no connection to the server through",
  "announcement-lost": "the addresses that the server announces (ADD_ADDR) do not arrive",
  "announcement-ignored": "this host ignores the addresses that the server announces",
  "limits": "the limits of this host allow no second subflow",
  "no-endpoints": "this host has several interfaces, and no endpoint to open subflows from",
} as const;

/** What to do about each. */
export const ADVICE: Readonly<Record<keyof typeof SUMMARIES, string>> = {
  "off": "Run sysctl -w net.mptcp.enabled=1, and unset NO_MPTCP.",
  "no-kernel": "Use Linux 5.6 or later with CONFIG_MPTCP.",
  "forbidden":
    "Allow socket() with protocol 262 (IPPROTO_MPTCP) in the container's seccomp profile " +
    "or the security module's policy.",
  "unreachable": "Check the address, the port, and the firewalls between.",
  "no-peer": "Have the server listen with MPTCP: mptcp serve, mptcp proxy, or mptcpize run.",
  "syn-stripped": "Find the middlebox: repeat from other networks. Connections work, as TCP.",
  "synack-stripped": "Find the middlebox: repeat from other networks. Connections work, as TCP.",
  "data-stripped": "Find the middlebox, often a transparent proxy. Connections work, as TCP.",
  "option-reset": "Have the firewall on the way allow TCP option 30, or connect with tcp@.",
  "syn-dropped": "Have the firewall on the way allow TCP option 30. Until then connections take " +
    "seconds longer; connect with tcp@ to avoid that.",
  "blackhole": "Wait, or run sysctl -w net.mptcp.blackhole_timeout=3600, which starts anew.",
  "no-route":
    "Add a route for the address of the second interface: ip rule add from ADDRESS table " +
    "N, and ip route add default via GATEWAY dev DEVICE table N.",
  "join-refused": "Raise the limits at the server: mptcp limits set --subflows 4.",
  "join-dropped": "Have the firewall on that path allow TCP option 30 for connections it has not " +
    "seen begin.",
  "elsewhere": "Have the load balancer direct by client address, or announce each server's own " +
    "address with a port (mptcp endpoint add ADDRESS --signal --port PORT).",
  "path-blocked":
    "Check the routes and firewalls of that path, and that the server listens on the " +
    "address it announces.",
  "announcement-lost": "Use endpoints at this end instead: mptcp endpoint add ADDRESS --subflow.",
  "announcement-ignored": "Run mptcp limits set --add-addr-accepted 4 on this host.",
  "limits": "Run mptcp limits set --subflows 4 on this host.",
  "no-endpoints":
    "Run mptcp endpoint add ADDRESS --subflow for the second interface, or mptcp limits " +
    "set --add-addr-accepted 4 to use what servers announce.",
};
