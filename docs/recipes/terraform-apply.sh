#!/bin/sh
# terraform-apply.sh DIRECTORY: one `terraform apply` at a time for each directory, whatever CI job
# wants it. The path is a key, so it need not look like the name of a lock.
#
# When the lock is lost or the CI job is cancelled, terraform gets INT, as from Ctrl-C. It finishes
# what is in progress, writes its state and releases its own lock. TERM would end its plugins, too.
# lockheed kills it after 5 minutes, which are part of the 15 minutes of the lease.
#
# When a CI job is cancelled, the runner's own grace period counts as well. Make it longer than 5
# minutes. Each signal that the runner sends reaches terraform. At the second one, terraform stops
# at once, without writing its state. So the runner must send one signal, and then wait.
#
# terraform itself is CMD, not a shell around it: a shell would keep the signal to itself.
set -eu
directory=${1:?usage: terraform-apply.sh DIRECTORY}

terraform -chdir="$directory" init -input=false
exec lockheed run --key "terraform/$directory" --wait 30m --duration 15m --grace 5m \
    --signal INT --rewrite TERM=INT --tag "${CI_JOB_URL:-by hand}" -- \
    terraform -chdir="$directory" apply -input=false -auto-approve
