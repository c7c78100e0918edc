#!/bin/sh
# Two scripts of which one waits for the other, without a sleep and without a poll.
set -eu

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
export LOCKPIPE_PATH="$directory/ready" LOCKPIPE_LOG_FILTER=warn
lockpipe create

(
    echo "server: starting"
    # ... whatever takes its time ...
    echo "server: ready"
    lockpipe write --timeout 1m
) &

lockpipe read --timeout 1m
echo "client: the server is ready"
wait
