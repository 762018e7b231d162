/**
 * A service manager in a few lines: it opens sockets, hands them over, and becomes the service.
 *
 * @module
 */

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
