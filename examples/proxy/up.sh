#!/bin/sh
# Two servers that know TCP alone, a proxy before them that takes MPTCP, and a proxy beside the
# clients that speaks it for them. README.md says what to try. Ctrl-C ends all four.
#
#   curl :7000 --TCP--> edge --MPTCP--> front :8000 --TCP--> servers :5001 and :5002
set -eu
cd "$(dirname "$0")/../.."
run=${RUN:-deno run -A}
folder=${FOLDER:-/tmp/mptcp-proxy}
mkdir -p "$folder"
rm -f "$folder"/*.pid

# start NAME COMMAND...: its process id is in $folder/NAME.pid.
start() {
  name=$1
  shift
  "$@" &
  echo $! >"$folder/$name.pid"
}

stop() {
  trap - EXIT INT TERM
  for name in edge front server-1 server-2; do
    kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
  done
  wait
}
trap stop EXIT INT TERM

start server-1 env NO_MPTCP=1 $run examples/server.ts 5001
start server-2 env NO_MPTCP=1 $run examples/server.ts 5002

start front $run src/cli/mod.ts proxy 'mptcp@*:8000' tcp@127.0.0.1:5001 tcp@127.0.0.1:5002 \
  --max-connections 1000 --connect-timeout 2 --idle-timeout 60 --drain-timeout 5 \
  --status "$folder/front.sock"

start edge $run src/cli/mod.ts proxy tcp@127.0.0.1:7000 mptcp@127.0.0.1:8000 --json

wait
