#!/usr/bin/env python3
"""Shows wrong bytes that Linux 6.18 delivers over MPTCP when a subflow joins in the middle of a transfer.

    unshare -nm python3 wrong_bytes.py [--seconds 60] [--direction up|down] [--first-backup] [--checksum]

As root. Makes two namespaces with two links between them, and transfers 24 MB again and again, in which
every 8 bytes hold their own position / 8. Meanwhile the client opens a second subflow, closes it, and opens
it again, some times in each transfer. Nothing is cut and no packet is lost on purpose.

up: the client sends, so that the side that accepts the subflows receives (wrong on 6.18).
down: the server sends, so that the side that opens the subflows receives (right).
--first-backup: each subflow begins as a backup, and carries data 100 ms later (right).

README.md says why.
"""
import argparse, os, random, re, subprocess, sys, tempfile, time

SIZE, PORT = "24000000", "5001"
BASE = f"wb{os.getpid()}"
CLIENT, SERVER = BASE + "c", BASE + "s"


def sh(command, check=True):
    return subprocess.run(command, shell=True, check=check, capture_output=True, text=True).stdout


def build(checksum):
    for name in (CLIENT, SERVER):
        sh(f"ip netns add {name}; ip -n {name} link set lo up")
        sh(f"ip netns exec {name} sysctl -qw net.ipv4.conf.all.rp_filter=0 "
           f"net.ipv4.conf.default.rp_filter=0 net.mptcp.checksum_enabled={int(checksum)}")
        sh(f"ip -n {name} mptcp limits set subflows 8 add_addr_accepted 8")
    for i in (1, 2):
        sh(f"ip link add c{i} netns {CLIENT} type veth peer name s{i} netns {SERVER}")
        for name, link, host in ((CLIENT, f"c{i}", 1), (SERVER, f"s{i}", 2)):
            sh(f"ip -n {name} addr add 10.77.{i}.{host}/24 dev {link}; ip -n {name} link set {link} up")
            sh(f"tc -n {name} qdisc add dev {link} root tbf rate 150mbit burst 32kb latency 50ms")


def joins():
    counters = sh(f"ip netns exec {SERVER} nstat -asz MPTcpExtMPJoinAckRx", check=False)
    return int((re.search(r"MPJoinAckRx\s+(\d+)", counters) or [0, 0])[1])


def transfer(program, direction, first_backup):
    receiver_listens = direction == "up"
    run = lambda name, *words: subprocess.Popen(
        ["ip", "netns", "exec", name, program, *words], stdout=subprocess.PIPE, text=True)
    server = run(SERVER, "listen", "10.77.1.2", PORT, "receive" if receiver_listens else "send", SIZE)
    server.stdout.readline()
    client = run(CLIENT, "connect", "10.77.1.2", PORT, "send" if receiver_listens else "receive", SIZE)
    time.sleep(random.uniform(0.1, 0.3))
    while client.poll() is None:
        backup = "backup" if first_backup else ""
        sh(f"ip -n {CLIENT} mptcp endpoint add 10.77.2.1 id 9 dev c2 subflow {backup}", False)
        if first_backup:
            time.sleep(0.1)
            sh(f"ip -n {CLIENT} mptcp endpoint change id 9 nobackup", False)
        time.sleep(random.uniform(0.05, 0.2))
        sh(f"ip -n {CLIENT} mptcp endpoint delete id 9", False)
        time.sleep(random.uniform(0.02, 0.1))
    server.wait()
    return (server if receiver_listens else client).stdout.read()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--direction", choices=["up", "down"], default="up")
    parser.add_argument("--first-backup", action="store_true")
    parser.add_argument("--checksum", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    program = f"{folder}/transfer"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program,
                    os.path.join(os.path.dirname(os.path.abspath(__file__)), "transfer.c")], check=True)
    build(options.checksum)
    count = wrong = short = 0
    try:
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            output = transfer(program, options.direction, options.first_backup)
            *runs, summary = output.splitlines() or [""]
            count += 1
            short += not summary.startswith(f"received {SIZE} bytes")
            wrong += bool(runs)
            for run in runs:
                print(f"transfer {count}: {run}", flush=True)
        print(f"{os.uname().release}: {count} transfers, {joins()} joins, {wrong} wrong, {short} not whole")
    finally:
        sh(f"ip netns del {CLIENT}; ip netns del {SERVER}; rm -r {folder}", check=False)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
