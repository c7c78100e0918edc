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

complete -c lockheed -n "__fish_lockheed_needs_command" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_needs_command" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_needs_command" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_needs_command" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_needs_command" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_needs_command" -s V -l version -d 'Print version'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "run" -d 'Run a command while holding a lock, or several'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "acquire" -d 'Acquire a lock and leave it held, for scripts'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "renew" -d 'Renew a lease that was acquired before'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "release" -d 'Release a lease; succeed if there is none'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "list" -d 'List the locks'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "inspect" -d 'Show one lock in full'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "break" -d 'End somebody\'s lease, also one that is over by its own word, and say whose'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "delete" -d 'Remove a lock that nobody holds'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "check" -d 'Check that this user has the required permissions, else print a Role that gives them'
complete -c lockheed -n "__fish_lockheed_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l key -d 'Any text that stands for a lock, instead of a name: its name is made from it; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l id -d 'The beginning of the holder\'s ID; a random part follows [default: this host\'s name]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l duration -d 'How long the lease is; 0 for one without an end' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l request-timeout -d 'How long one request may take [default: a sixth of the lease; 10s for one without an end]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l renew-interval -d 'How often the lease is renewed; 0 for never [default: a third of the lease]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l wait -d 'Wait at most this long, or `forever` [default: forever]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l slots -d 'Hold one of N slots; all who hold one or wait for one must say the same number' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l priority -d 'Wait in the lock\'s queue, before those with a lower priority [default: 0]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l tag -d 'Add a tag to the lock; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l label -d 'Put a label on the lock\'s ConfigMap or Lease; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l force -d 'Take the lock away from whoever holds it if this holds, such as: tags contains "abandoned"' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l max-skew -d 'How far other clocks may be off. A lease that was over for longer than this is taken at once; `never` waits for its full length. Leases of Go programs last this much longer [default: 60s, and 5s for those of Go programs]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l grace -d 'Grace period between asking the command to stop and killing it [default: a quarter of the lease; 25s after a forwarded TERM or INT]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l signal -d 'Signal that asks the command to stop: a name, RTMIN+3, or a number' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l kill-mode -d 'Processes that are asked to stop; those left after the grace period are killed either way' -r -f -a "tree\t'The command and all processes below it'
main\t'The command alone, which stops its workers itself (`KillMode=mixed` of systemd)'"
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l rewrite -d 'Forward an incoming signal as another one, such as TERM=QUIT; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l on-wait -d 'Run this with `sh -c` when somebody else holds the lock and the wait begins, with the lock as JSON on standard input' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l on-lost -d 'Run this with `sh -c` when the lock was lost, with the lock as JSON on standard input' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l hook-timeout -d 'How long a script of --on-wait or --on-lost may take before it is ended' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l metrics -d 'Write counts and times to this file for Prometheus, in its text format' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l long-wait -d 'With --events, how long a wait is before it is recorded, too' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l no-wait -d 'Do not wait for whoever holds the lock'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l shared -d 'Share the lock with others that use --shared, too'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l fair -d 'Wait in the lock\'s queue: first come, first served'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l reset-tags -d 'Drop the tags that are not given'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l restart -d 'When the lock was lost and the command was ended, wait for the lock as long as it takes, and run the command again'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -l events -d 'Record on the lock\'s ConfigMap or Lease when it is acquired and lost, as Kubernetes Events'
complete -c lockheed -n "__fish_lockheed_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l key -d 'Any text that stands for the lock, instead of a name: its name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l id -d 'The holder\'s ID, to be the same holder as before [default: this host\'s name and a random part, which is printed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l duration -d 'How long the lease is, 1s or more; 0 for one without an end [default: 5m; as long as it is for one that --id has already]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s o -l output -d 'What to print: the ID, or the token where --id is given; or an object with id, token and name' -r -f -a "text\t'For people'
json\t'An object'
yaml\t'An object'"
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l request-timeout -d 'How long one request may take [default: a sixth of the lease; 10s for one without an end]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l wait -d 'Wait at most this long, or `forever` [default: forever]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l slots -d 'Hold one of N slots; all who hold one or wait for one must say the same number' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l priority -d 'Wait in the lock\'s queue, before those with a lower priority [default: 0]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l tag -d 'Add a tag to the lock; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l label -d 'Put a label on the lock\'s ConfigMap or Lease; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l force -d 'Take the lock away from whoever holds it if this holds, such as: tags contains "abandoned"' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l max-skew -d 'How far other clocks may be off. A lease that was over for longer than this is taken at once; `never` waits for its full length. Leases of Go programs last this much longer [default: 60s, and 5s for those of Go programs]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l no-wait -d 'Do not wait for whoever holds the lock'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l shared -d 'Share the lock with others that use --shared, too'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l fair -d 'Wait in the lock\'s queue: first come, first served'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -l reset-tags -d 'Drop the tags that are not given'
complete -c lockheed -n "__fish_lockheed_using_subcommand acquire" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l key -d 'Any text that stands for the lock, instead of a name: its name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l id -d 'The holder\'s ID, as it was given to acquire, or printed by it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l duration -d 'How long the lease is from now on, 1s or more [default: as long as it was]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -l request-timeout -d 'How long one request may take [default: a sixth of the lease; 10s for one without an end]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand renew" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l key -d 'Any text that stands for the lock, instead of a name: its name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -l id -d 'The holder\'s ID, as it was given to acquire, or printed by it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand release" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand list" -l where -d 'Only those for which this holds, such as: tags contains "prod" and acquired equals true [default: all]' -r
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
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -l key -d 'Any text that stands for the lock, instead of a name: its name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'An object'
yaml\t'An object'"
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l key -d 'Any text that stands for the lock, instead of a name: its name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l id -d 'Only the lease of this holder, as inspect shows it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l fencing-token -d 'Only the lease with this fencing token, to tell it from others of the same ID [default: any]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l if -d 'Only if this holds, such as: tags contains "abandoned" [default: whatever holds]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l yes -d 'Really do it, whoever holds the lock, else only say whose lease it would end; not needed with --id. Until its holder has heard of it, two holders may both believe they have the lock'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -l events -d 'Record it on the lock\'s ConfigMap or Lease as a Kubernetes Event'
complete -c lockheed -n "__fish_lockheed_using_subcommand break" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l key -d 'Any text that stands for the lock, instead of a name: its name is made from it' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -l if -d 'Only if this holds, such as: tags contains "abandoned" [default: whatever holds]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand delete" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l store -d 'Where the locks are: kube (ConfigMaps), lease (Leases, as controllers elect their leaders), or dir:PATH' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l mode -d 'Mode of the directory if it is made, such as 2770 to share its locks with its group [default: by the umask]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l prefix -d 'How the names of the ConfigMaps begin [default: lockheed]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l kubeconfig -d 'The kubeconfig file [default: KUBECONFIG, in a Pod its service account, else ~/.kube/config]' -r -F
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l context -d 'The kubeconfig\'s context [default: its current one]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s n -l namespace -d 'The namespace [default: the context\'s, in a Pod its own]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l cluster -d 'The kubeconfig\'s cluster [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l user -d 'The kubeconfig\'s user [default: the context\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s s -l server -d 'The address of the API server [default: the cluster\'s]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l token -d 'The bearer token to show the API server [default: what the user has]' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l as -d 'Act as this user, for which the user needs the right to impersonate' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l key -d 'Any text that stands for the lock, instead of a name' -r
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -l events -d 'What --events needs, too'
complete -c lockheed -n "__fish_lockheed_using_subcommand check" -s h -l help -d 'Print help'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "run" -d 'Run a command while holding a lock, or several'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "acquire" -d 'Acquire a lock and leave it held, for scripts'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "renew" -d 'Renew a lease that was acquired before'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "release" -d 'Release a lease; succeed if there is none'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "list" -d 'List the locks'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "inspect" -d 'Show one lock in full'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "break" -d 'End somebody\'s lease, also one that is over by its own word, and say whose'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "delete" -d 'Remove a lock that nobody holds'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "check" -d 'Check that this user has the required permissions, else print a Role that gives them'
complete -c lockheed -n "__fish_lockheed_using_subcommand help; and not __fish_seen_subcommand_from run acquire renew release list inspect break delete check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
