#!/bin/sh
# Does each tool's main job once, in the current directory: try.sh BINARIES [EMULATOR].
# BINARIES holds what was unpacked from the archives of one target, each in a directory of its own.
set -eu
binaries=$1
emulator=${2-}

run() { # run TOOL ARGUMENT...
    tool=$1
    shift
    # No quotes: without an emulator there is no word.
    $emulator "$binaries"/*/"$tool" "$@"
}
say() { printf '%s\n' "$*"; }
expect() { # expect WHAT IS
    [ "$1" = "$2" ] || { say "expected \"$1\", and not \"$2\"" >&2; exit 1; }
}

for tool in lockpipe exitdir sipid lockheed cmlock; do
    run "$tool" --version
    run "$tool" --help >/dev/null
done

mkfifo pipe
run lockpipe -q --path pipe read &
run lockpipe -q --path pipe write
wait $!

mkdir leader
run exitdir --dir leader wait &
run exitdir --dir leader exit --name main
wait $!
expect "main exited with status 0" "$(run exitdir --dir leader status)"

run sipid claim --pid-file a.pid -- sleep 600 &
run sipid wait-until-healthy -q --pid-file a.pid --url file:a.pid
run sipid status --pid-file a.pid
run sipid kill --pid-file a.pid
wait $! || true # it was killed

export LOCKHEED_STORE=dir:locks
id=$(run lockheed acquire deploy)
if run lockheed acquire deploy --no-wait 2>/dev/null; then
    say "a second holder has the lock" >&2
    exit 1
fi
run lockheed release deploy --id "$id"
expect deploy "$(run lockheed list -o name)"
# The emulator's own threads are in its way.
[ -n "$emulator" ] || run lockheed run deploy -- sh -c 'test "$LOCKHEED_TOKEN" -gt 1'
