# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cmlock_global_optspecs
    string join \n pod= container= kubeconfig= context= cluster= user= s/server= token= as= as-group= n/namespace= v/verbose q/quiet h/help V/version
end

function __fish_cmlock_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cmlock_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cmlock_using_subcommand
    set -l cmd (__fish_cmlock_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cmlock -n "__fish_cmlock_needs_command" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_needs_command" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_needs_command" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_needs_command" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_needs_command" -s h -l help -d 'Print help'
complete -c cmlock -n "__fish_cmlock_needs_command" -s V -l version -d 'Print version'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "run" -d 'Run a command while holding a lock'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "acquire" -d 'Acquire a lock and leave it held, for scripts; print the holder\'s ID'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "release" -d 'Release a lock that this Pod holds; succeed if nobody holds it'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "break" -d 'Take a lock from one holder, in any Pod, and say whose it was'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "status" -d 'Show who holds a lock (exit status 0 held, 1 free)'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "list" -d 'List the locks of the namespace'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "check" -d 'Check that this user has the required permissions, else print a Role that gives them'
complete -c cmlock -n "__fish_cmlock_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l timeout -d 'Let the lock expire this long after it was acquired, or last extended by run. This is also the default of --wait. At least 1s [default: the lock does not expire]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l wait -d 'Wait at most this long, or `forever` [default: the value of --timeout, else forever]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l label -d 'Put a label on the lock\'s ConfigMap; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l grace -d 'Grace period between asking the command to stop and killing it [default: 10s, at most a quarter of the timeout; 25s after a forwarded TERM or INT]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l signal -d 'Signal that asks the command to stop: a name such as TERM or RTMIN+3, or a number' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l kill-mode -d 'Which processes are asked to stop: the command and all that it started (tree), or only the command (main). After the grace period, all that are left are killed' -r -f -a "tree\t'The command and all that it started'
main\t'Only the command, which stops its workers itself (`KillMode=mixed` of systemd)'"
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l rewrite -d 'Forward an incoming signal as another one, such as TERM=QUIT; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -l no-wait -d 'Do not wait: fail if somebody else holds the lock'
complete -c cmlock -n "__fish_cmlock_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l timeout -d 'Let the lock expire this long after it was acquired, or last extended by run. This is also the default of --wait. At least 1s [default: the lock does not expire]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l wait -d 'Wait at most this long, or `forever` [default: the value of --timeout, else forever]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l label -d 'Put a label on the lock\'s ConfigMap; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -s o -l output -d 'Output format: text is the holder\'s ID, json and yaml are an object with holder and name' -r -f -a "text\t'For people'
json\t'An object'
yaml\t'An object'"
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -l no-wait -d 'Do not wait: fail if somebody else holds the lock'
complete -c cmlock -n "__fish_cmlock_using_subcommand acquire" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -l holder -d 'Only if the holder has this ID, which acquire printed [default: any holder in this Pod]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand release" -s h -l help -d 'Print help'
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -l holder -d 'ID of the holder, as status shows it; for a holder without an ID, the ConfigMap\'s UID. Until that holder notices, two holders may both believe they have the lock' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand break" -s h -l help -d 'Print help'
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -s o -l output -d 'Output format' -r -f -a "text\t'For people'
json\t'An object'
yaml\t'An object'"
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s o -l output -d 'Output format' -r -f -a "table\t'One line per lock, with a header'
wide\t'The same with more columns'
json\t'An array'
yaml\t'A list'
name\t'The names alone'"
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s A -l all-namespaces -d 'List the locks of all namespaces'
complete -c cmlock -n "__fish_cmlock_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l pod -d 'Pod that owns the lock [default: POD_NAME, else this host\'s name]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l container -d 'Container that this process runs in. When the container is restarted, the lock becomes free [default: CONTAINER_NAME, if the Pod has such a container]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l kubeconfig -d 'Kubeconfig file [default: KUBECONFIG, else in a Pod its service account, else ~/.kube/config]' -r -F
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l context -d 'Context of the kubeconfig [default: its current context]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l cluster -d 'Cluster of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l user -d 'User of the kubeconfig [default: the context\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -s s -l server -d 'Address of the API server [default: the cluster\'s]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l token -d 'Bearer token for the API server [default: the user\'s credentials]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l as -d 'Act as this user; your own user needs the permission to impersonate' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -l as-group -d 'Act as a member of this group; may be repeated' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -s n -l namespace -d 'Namespace of the locks [default: POD_NAMESPACE, else the context\'s, else in a Pod its own]' -r
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -s v -l verbose -d 'Log more; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -s q -l quiet -d 'Log less; may be repeated'
complete -c cmlock -n "__fish_cmlock_using_subcommand check" -s h -l help -d 'Print help'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "run" -d 'Run a command while holding a lock'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "acquire" -d 'Acquire a lock and leave it held, for scripts; print the holder\'s ID'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "release" -d 'Release a lock that this Pod holds; succeed if nobody holds it'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "break" -d 'Take a lock from one holder, in any Pod, and say whose it was'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "status" -d 'Show who holds a lock (exit status 0 held, 1 free)'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "list" -d 'List the locks of the namespace'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "check" -d 'Check that this user has the required permissions, else print a Role that gives them'
complete -c cmlock -n "__fish_cmlock_using_subcommand help; and not __fish_seen_subcommand_from run acquire release break status list check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
