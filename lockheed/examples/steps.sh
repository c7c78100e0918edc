#!/usr/bin/env bash
# Holds a lock across the steps of a script, and gives it back however the script ends.
# Where all steps can be one command, `lockheed run NAME -- CMD` is better: it ends the work when the lock is lost.
set -euo pipefail

id=$(hostname)-$$
token=$(lockheed acquire deploy --id "$id" --duration 5m --wait 10m)
trap 'lockheed release deploy --id "$id"' EXIT

echo "step one, with token $token"
lockheed renew deploy --id "$id"     # fails with 116 when the lease was lost, which ends the script
echo "step two"
