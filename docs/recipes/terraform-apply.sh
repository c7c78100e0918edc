#!/bin/sh
# terraform-apply.sh DIRECTORY: one `terraform apply` at a time for each directory, whatever CI job it
# is of. The path is a key, so it need not look like the name of a lock.
#
# When the CI job is cancelled or the lock is lost, terraform gets INT, as from Ctrl-C: it ends what it
# is at, writes its state and gives its own lock back. TERM would end its plugins, too. It has 5 minutes
# for that, which is a part of the 15 minutes of the lease.
#
# terraform itself is CMD, not a shell around it: a shell would keep the signal to itself.
set -eu
directory=${1:?usage: terraform-apply.sh DIRECTORY}

terraform -chdir="$directory" init -input=false
exec lockheed run --key "terraform/$directory" --wait 30m --duration 15m --grace 5m \
    --signal INT --rewrite TERM=INT --tag "${CI_JOB_URL:-by hand}" -- \
    terraform -chdir="$directory" apply -input=false -auto-approve
