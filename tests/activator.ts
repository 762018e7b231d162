/**
 * A service manager in a few lines: it opens sockets, hands them over, and becomes the service.
 *
 * @module
 */

import process from "node:process";

/**
 * Opens sockets by the protocols in argv[1], puts them at 3 and above, sets the variables of argv[2] and
 * executes the command in the same process. With `PORTS=yes` among the variables it prints the ports
 * first, and with `FIRST=yes` it waits for a client before it starts the service.
 */
const ACTIVATOR = `
import os, select, socket, sys
sockets = []
ports = []
for i, protocol in enumerate(sys.argv[1].split(",")):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, int(protocol))
    s.bind(("127.0.0.1", 0))
    s.listen()
    ports.append(s.getsockname()[1])
    # Out of the way of the places that they go to.
    os.dup2(s.fileno(), 50 + i)
    s.detach()
    sockets.append(50 + i)
variables = dict(pair.split("=", 1) for pair in sys.argv[2].split())
if variables.pop("PORTS", None):
    print(ports, flush=True)
if variables.pop("FIRST", None):
    select.select(sockets, [], [])
for i, fd in enumerate(sockets):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
for name, value in variables.items():
    os.environ[name] = str(os.getpid()) if value == "PID" else value
os.execvp(sys.argv[3], sys.argv[3:])
`;

/** The command that runs another as a service on sockets of those protocols. */
export function activated(
  protocols: readonly number[],
  variables: string,
  command: readonly string[],
): string[] {
  return ["python3", "-c", ACTIVATOR, protocols.join(), variables, ...command];
}

const NAMES = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/**
 * Runs something in this process with variables as "LISTEN_FDS=1 LISTEN_PID=PID". The descriptors from 3
 * on are whatever they are here.
 */
export function withVariables(variables: string, body: () => void): void {
  const before = NAMES.map((name) => process.env[name]);
  const given = new Map(variables.split(" ").map((pair) => pair.split("=") as [string, string]));
  try {
    for (const name of NAMES) set(name, given.get(name)?.replace("PID", String(process.pid)));
    body();
  } finally {
    NAMES.forEach((name, i) => set(name, before[i]));
  }
}

function set(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
