#!/usr/bin/env bash
# Holds a lock across the steps of a script, and gives it back however the script ends.
# Where all steps can be one command, `lockheed run NAME -- CMD` is better: it ends the work when the lock is lost.
set -euo pipefail

id=$(lockheed acquire deploy --duration 5m --wait 10m)     # prints an ID that nobody else has
trap 'lockheed release deploy --id "$id"' EXIT

echo "step one, as $id"
lockheed renew deploy --id "$id"     # fails with 116 when the lease was lost, which ends the script
echo "step two"
