#!/bin/sh
# Tries the tools that support macOS, without a cluster. It writes into the current directory.
# try-macos.sh BINARIES
set -eu
PATH=$(cd "$1" && pwd):$PATH

status_of() { # status_of STATUS COMMAND...
    expected=$1
    shift
    is=0
    "$@" || is=$?
    [ "$is" = "$expected" ] || { echo "$*: expected status $expected, and not $is" >&2; exit 1; }
}

for tool in lockpipe lockheed cmlock; do
    "$tool" --version
    "$tool" --help >/dev/null
done
for tool in lockheed cmlock; do
    ln -sf "$(command -v "$tool")" "kubectl-$tool"
    "./kubectl-$tool" --help | grep -q "Usage: kubectl $tool "
done

# A writer meets a reader, whoever comes first, and is let go; so is the reader.
lockpipe -q --path pipe read &
lockpipe -q --path pipe write
wait $!
lockpipe -q --path pipe write &
lockpipe -q --path pipe read
wait $!
# What is written is taken, however much it is.
lockpipe -q --path pipe read &
dd if=/dev/zero bs=65536 count=20 of=pipe 2>/dev/null
wait $!
status_of 110 lockpipe -q --path pipe read --timeout 300ms
status_of 110 lockpipe -q --path pipe write --timeout 300ms
# Whoever waits is told when the pipe goes. It makes one that is not there yet.
lockpipe -q --path pipe read &
while kill -0 $! 2>/dev/null; do
    lockpipe -q --path pipe delete
    sleep 0.1
done
status_of 2 wait $!

if [ "$(uname)" = Darwin ]; then
    status_of 95 lockheed --store dir:locks list
    status_of 64 lockheed run deploy -- true
fi
