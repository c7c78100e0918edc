# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_lockheed_global_optspecs
    string join \n store= mode= prefix= kubeconfig= context= n/namespace= cluster= user= s/server= token= as= as-group= v/verbose q/quiet h/help V/version
end

function __fish_lockheed_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_lockheed_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_lockheed_using_subcommand
    set -l cmd (__fish_lockheed_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c lockheed -n "__fish_lockheed_needs_command" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_needs_command" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_needs_command" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_needs_command" -s V -l version -d 'Print version'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "run" -d 'Run a command while holding a lock, or several'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "acquire" -d 'Acquire a lock and leave it held, for scripts'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "renew" -d 'Renew a lease that was acquired before'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "release" -d 'Release a lease; succeed if there is none'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "list" -d 'List the locks of the namespace or directory'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "inspect" -d 'Show one lock in full'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "break" -d 'End somebody\'s lease, also an expired one, and say whose it was'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "delete" -d 'Remove a lock that nobody holds'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "check" -d 'Check that this user has the required permissions, else print a Role that gives them'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it. May be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l id -d 'Beginning of the holder\'s ID; lockheed adds a random part [default: this host\'s name]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l duration -d 'Length of the lease, at least 1s; 0 for a lease without an end' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l request-timeout -d 'Time limit of each request [default: a sixth of the lease; 10s for one without an end, and for renew without --duration]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l renew-interval -d 'How often the lease is renewed; 0 for never [default: a third of the lease]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l wait -d 'Wait at most this long, or `forever` [default: forever]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l slots -d 'Let up to N holders have the lock at once; all who hold it or wait for it must give the same N' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l priority -d 'Wait in the lock\'s queue, before those with a lower priority, from 0 to 1000 [default: 0]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l tag -d 'Add a tag to the lock; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l label -d 'Put a label on the lock\'s ConfigMap or Lease; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l force -d 'Take the lock away from its holder if this condition holds, such as: tags contains "abandoned"' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l max-skew -d 'How far clocks may differ. A lease that expired longer ago than this is taken over at once; with `never`, only after lockheed has waited for its full length. Leases of Go programs last this much longer [default: 60s; 5s for leases of Go programs]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l grace -d 'Grace period between asking the command to stop and killing it [default: a quarter of the lease, 10s if it has no end; 25s after a forwarded TERM or INT]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l signal -d 'Signal that asks the command to stop: a name such as TERM or RTMIN+3, or a number' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l kill-mode -d 'Which processes are asked to stop: the command and all that it started (tree), or only the command (main). After the grace period, all that are left are killed' -r -f -a "tree\t'The command and all that it started'
main\t'Only the command, which stops its workers itself (`KillMode=mixed` of systemd)'"
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l rewrite -d 'Forward an incoming signal as another one, such as TERM=QUIT; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l on-wait -d 'Shell script to run (sh -c) when the wait begins because somebody else holds the lock; it gets the lock as JSON on standard input' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l on-lost -d 'Shell script to run (sh -c) when the lock was lost; it gets the lock as JSON on standard input' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l hook-timeout -d 'Time limit of a script of --on-wait or --on-lost, after which it is ended' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l metrics -d 'Write counts and times to this file, in Prometheus\' text format' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l long-wait -d 'With --events, also record a wait that is longer than this, once' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l no-wait -d 'Do not wait: fail if somebody else holds the lock'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l shared -d 'Hold the lock together with others that use --shared, but with nobody else'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l fair -d 'Wait in the lock\'s queue: first come, first served among all who use it'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l reset-tags -d 'Remove the tags of the lock that are not given with --tag'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l restart -d 'If the lock is lost, end the command, wait for the lock as long as it takes, and run the command again'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l events -d 'Record Kubernetes Events on the lock\'s ConfigMap or Lease when the lock is acquired or lost'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l id -d 'ID of the holder; whoever gives the same ID is the same holder [default: this host\'s name and a random part, which is printed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l duration -d 'Length of the lease, at least 1s; 0 for a lease without an end [default: 5m; a lease that --id already has keeps its length]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s o -l output -d 'Output format: text is the holder\'s ID, or with --id the fencing token; json and yaml are an object with name, key, id and token' -r -f -a "text\t'For people'
json\t'An object'
yaml\t'An object'"
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l request-timeout -d 'Time limit of each request [default: a sixth of the lease; 10s for one without an end, and for renew without --duration]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l wait -d 'Wait at most this long, or `forever` [default: forever]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l slots -d 'Let up to N holders have the lock at once; all who hold it or wait for it must give the same N' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l priority -d 'Wait in the lock\'s queue, before those with a lower priority, from 0 to 1000 [default: 0]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l tag -d 'Add a tag to the lock; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l label -d 'Put a label on the lock\'s ConfigMap or Lease; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l force -d 'Take the lock away from its holder if this condition holds, such as: tags contains "abandoned"' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l max-skew -d 'How far clocks may differ. A lease that expired longer ago than this is taken over at once; with `never`, only after lockheed has waited for its full length. Leases of Go programs last this much longer [default: 60s; 5s for leases of Go programs]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l no-wait -d 'Do not wait: fail if somebody else holds the lock'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l shared -d 'Hold the lock together with others that use --shared, but with nobody else'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l fair -d 'Wait in the lock\'s queue: first come, first served among all who use it'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l reset-tags -d 'Remove the tags of the lock that are not given with --tag'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l id -d 'ID of the holder, as acquire printed it, or as it was given to acquire' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l duration -d 'Length of the lease from now on, at least 1s [default: as long as it was]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l request-timeout -d 'Time limit of each request [default: a sixth of the lease; 10s for one without an end, and for renew without --duration]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l id -d 'ID of the holder, as acquire printed it, or as it was given to acquire' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l where -d 'Only locks for which this condition holds, such as: tags contains "prod" and acquired equals true [default: all]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s o -l output -d 'Output format' -r -f -a "table\t'One line per lock, with a header'
wide\t'The same with more columns'
json\t'An array'
yaml\t'A list'
name\t'The names alone'"
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s w -l watch -d 'Keep running and print each lock as it changes'
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s A -l all-namespaces -d 'List the locks of all namespaces'
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'An object'
yaml\t'An object'"
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l id -d 'End only the lease of the holder with this ID, as inspect shows it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l fencing-token -d 'End only the lease with this fencing token, and no later one of the same ID [default: any]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l if -d 'Only if this condition holds, such as: tags contains "abandoned" [default: always]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l yes -d 'End the lease of whoever holds the lock. Without --yes and --id, only say who that is. Until that holder notices, two holders may both believe they have the lock'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l events -d 'Record a Kubernetes Event on the lock\'s ConfigMap or Lease'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l key -d 'Any text instead of NAME, such as a branch or a URL; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l if -d 'Only if this condition holds, such as: tags contains "abandoned" [default: always]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l store -d 'Where the locks are kept: kube (in ConfigMaps), lease (in Leases, with which controllers elect their leaders), or dir:PATH (in a directory of this machine)' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l mode -d 'Mode of the directory if run or acquire creates it, such as 2770 to share the locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l prefix -d 'Prefix of the ConfigMaps\' names, PREFIX-NAME [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s n -l namespace -d 'Namespace of the locks [default: the context\'s, else in a Pod its own, else `default`]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l key -d 'Any text instead of NAME; the lock\'s name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l events -d 'Also check for the permission that --events needs'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "run" -d 'Run a command while holding a lock, or several'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "acquire" -d 'Acquire a lock and leave it held, for scripts'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "renew" -d 'Renew a lease that was acquired before'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "release" -d 'Release a lease; succeed if there is none'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "list" -d 'List the locks of the namespace or directory'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "inspect" -d 'Show one lock in full'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "break" -d 'End somebody\'s lease, also an expired one, and say whose it was'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "delete" -d 'Remove a lock that nobody holds'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "check" -d 'Check that this user has the required permissions, else print a Role that gives them'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
