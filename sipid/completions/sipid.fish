# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sipid_global_optspecs
    string join \n v/verbose q/quiet h/help V/version
end

function __fish_sipid_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sipid_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sipid_using_subcommand
    set -l cmd (__fish_sipid_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sipid -n "__fish_sipid_needs_command" -s v -l verbose -d 'Log more; may be repeated'
complete -c sipid -n "__fish_sipid_needs_command" -s q -l quiet -d 'Log less; may be repeated'
complete -c sipid -n "__fish_sipid_needs_command" -s h -l help -d 'Print help'
complete -c sipid -n "__fish_sipid_needs_command" -s V -l version -d 'Print version'
complete -c sipid -n "__fish_sipid_needs_command" -f -a "claim" -d 'Write a PID into a pidfile, unless the process in it is running'
complete -c sipid -n "__fish_sipid_needs_command" -f -a "kill" -d 'End the process in a pidfile, wait until it is gone, and remove the file'
complete -c sipid -n "__fish_sipid_needs_command" -f -a "signal" -d 'Send a signal to the process in a pidfile'
complete -c sipid -n "__fish_sipid_needs_command" -f -a "wait-until-healthy" -d 'Poll URLs, files or a command until they are healthy'
complete -c sipid -n "__fish_sipid_needs_command" -f -a "status" -d 'Check whether the process in a pidfile is running (exit status 0 yes, 1 no)'
complete -c sipid -n "__fish_sipid_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l pid -d 'PID of the process to claim for' -r
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l mode -d 'Mode of the pidfile: 0600, 0640, 0604 or 0644. Whoever may read the file may also lock it, and so make a claim fail [default: 0600 for a new file]' -r
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l ready-timeout -d 'Start CMD in the background, and return when it reports READY=1, as services with systemd\'s Type=notify do. If it is not ready within this time, end it (exit status 110)' -r
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l pid-file -l pidfile -d 'The pidfile' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l exec -d 'Count the process as running only if it runs this executable (for a script, its interpreter)' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l name -d 'Count the process as running only if it has this name, as `ps -o comm` shows it' -r
complete -c sipid -n "__fish_sipid_using_subcommand claim" -l user -d 'Count the process as running only if it runs as this user (name or UID)' -r
complete -c sipid -n "__fish_sipid_using_subcommand claim" -s v -l verbose -d 'Log more; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand claim" -s q -l quiet -d 'Log less; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand claim" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l timeout -d 'How long to wait between TERM and KILL' -r
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l retry -d 'Signals to send and seconds to wait, as for start-stop-daemon, such as TERM/20/QUIT/1/KILL or -15/20/-9; 20 alone means TERM/20/KILL/20' -r
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l pid-file -l pidfile -d 'The pidfile' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l exec -d 'Count the process as running only if it runs this executable (for a script, its interpreter)' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l name -d 'Count the process as running only if it has this name, as `ps -o comm` shows it' -r
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l user -d 'Count the process as running only if it runs as this user (name or UID)' -r
complete -c sipid -n "__fish_sipid_using_subcommand kill" -s v -l verbose -d 'Log more; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand kill" -s q -l quiet -d 'Log less; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l show-stacks -d 'Before KILL, send QUIT and wait 1s, for runtimes that print their stacks on QUIT'
complete -c sipid -n "__fish_sipid_using_subcommand kill" -l group -d 'End the whole process group, which the process must lead'
complete -c sipid -n "__fish_sipid_using_subcommand kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sipid -n "__fish_sipid_using_subcommand signal" -l pid-file -l pidfile -d 'The pidfile' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand signal" -l exec -d 'Count the process as running only if it runs this executable (for a script, its interpreter)' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand signal" -l name -d 'Count the process as running only if it has this name, as `ps -o comm` shows it' -r
complete -c sipid -n "__fish_sipid_using_subcommand signal" -l user -d 'Count the process as running only if it runs as this user (name or UID)' -r
complete -c sipid -n "__fish_sipid_using_subcommand signal" -s v -l verbose -d 'Log more; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand signal" -s q -l quiet -d 'Log less; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand signal" -s h -l help -d 'Print help'
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l url -d 'URL to poll; may be repeated. http:// and https:// must answer as expected, tcp://HOST:PORT and unix:PATH must accept a connection; the path of a file: URL must exist. http:// and https:// use the proxies of the environment, except for loopback' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l timeout -d 'Give up after this long (exit status 110)' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l polling-frequency -d 'Time from one try to the next. It also limits each try, but not to less than 1s' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l max-polling-frequency -d 'Double the time between tries after each try, up to this [default: never]' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l expect-status -d 'HTTP statuses that mean healthy, such as 200,204,300-399' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l expect-body -d 'Text that the answer\'s body must contain' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l expect-body-regex -d 'Regular expression that the answer\'s body must match somewhere' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l header -d 'Header to send; may be repeated. Redirects to another scheme, host or port do not get it' -r
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l ca-file -d 'Trust only the CAs in this PEM file, and servers whose own certificate is in it' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l cert -d 'PEM file with the client certificate and those that issued it' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l key -d 'PEM file with the private key of --cert [default: the file of --cert]' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l unix-socket -d 'For http:// and https://, connect to this Unix socket, whatever the URL\'s host is' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l pid-file -l pidfile -d 'Stop waiting as soon as the process in this pidfile is gone (exit status 3); it may start during the wait' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -s v -l verbose -d 'Log more; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -s q -l quiet -d 'Log less; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -l insecure -d 'Trust any certificate'
complete -c sipid -n "__fish_sipid_using_subcommand wait-until-healthy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sipid -n "__fish_sipid_using_subcommand status" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''"
complete -c sipid -n "__fish_sipid_using_subcommand status" -l pid-file -l pidfile -d 'The pidfile' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand status" -l exec -d 'Count the process as running only if it runs this executable (for a script, its interpreter)' -r -F
complete -c sipid -n "__fish_sipid_using_subcommand status" -l name -d 'Count the process as running only if it has this name, as `ps -o comm` shows it' -r
complete -c sipid -n "__fish_sipid_using_subcommand status" -l user -d 'Count the process as running only if it runs as this user (name or UID)' -r
complete -c sipid -n "__fish_sipid_using_subcommand status" -s v -l verbose -d 'Log more; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand status" -s q -l quiet -d 'Log less; may be repeated'
complete -c sipid -n "__fish_sipid_using_subcommand status" -s h -l help -d 'Print help'
complete -c sipid -n "__fish_sipid_using_subcommand help; and not __fish_seen_subcommand_from claim kill signal wait-until-healthy status help" -f -a "claim" -d 'Write a PID into a pidfile, unless the process in it is running'
complete -c sipid -n "__fish_sipid_using_subcommand help; and not __fish_seen_subcommand_from claim kill signal wait-until-healthy status help" -f -a "kill" -d 'End the process in a pidfile, wait until it is gone, and remove the file'
complete -c sipid -n "__fish_sipid_using_subcommand help; and not __fish_seen_subcommand_from claim kill signal wait-until-healthy status help" -f -a "signal" -d 'Send a signal to the process in a pidfile'
complete -c sipid -n "__fish_sipid_using_subcommand help; and not __fish_seen_subcommand_from claim kill signal wait-until-healthy status help" -f -a "wait-until-healthy" -d 'Poll URLs, files or a command until they are healthy'
complete -c sipid -n "__fish_sipid_using_subcommand help; and not __fish_seen_subcommand_from claim kill signal wait-until-healthy status help" -f -a "status" -d 'Check whether the process in a pidfile is running (exit status 0 yes, 1 no)'
complete -c sipid -n "__fish_sipid_using_subcommand help; and not __fish_seen_subcommand_from claim kill signal wait-until-healthy status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
