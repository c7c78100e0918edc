# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_exitdir_global_optspecs
    string join \n d/dir= v/verbose q/quiet h/help V/version
end

function __fish_exitdir_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_exitdir_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_exitdir_using_subcommand
    set -l cmd (__fish_exitdir_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c exitdir -n "__fish_exitdir_needs_command" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_needs_command" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_needs_command" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c exitdir -n "__fish_exitdir_needs_command" -s V -l version -d 'Print version'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "exit" -d 'Signal that it is time to exit'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "wait" -d 'Wait for the exit signal'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "lead" -d 'Run a command as the leader, and signal when it has ended'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "follow" -d 'Run a command as a follower, and end it at the exit signal'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "status" -d 'Check for the exit signal, and print how the leader ended (exit status 0 yes, 1 no)'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "clear" -d 'Remove the exit signal before a restart'
complete -c exitdir -n "__fish_exitdir_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c exitdir -n "__fish_exitdir_using_subcommand exit" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand exit" -l status -d 'Exit status recorded for the leader' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand exit" -l name -d 'Name recorded for the leader' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand exit" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand exit" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand exit" -s h -l help -d 'Print help'
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -l timeout -d 'Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -l leader-by -d 'Treat the leader as dead if it has not been seen alive within this time [default: never]' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -l poll -d 'Check the directory this often instead of waiting for events, for file systems without events' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -l leader-status -d 'Exit with the leader\'s status, or with 122 if the leader died, 124 if the timeout ran out, 125 after any other failure'
complete -c exitdir -n "__fish_exitdir_using_subcommand wait" -s h -l help -d 'Print help'
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l name -d 'Name recorded for the leader' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l post -d 'After signalling, send a POST to this http:// URL, for a helper that cannot be run under follow; may be repeated' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l post-timeout -d 'How long to wait for each answer to --post' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l grace -d 'Grace period between asking the command to stop and killing it; a forwarded TERM or INT starts it, too' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l signal -d 'Signal that asks the command to stop: a name such as TERM or RTMIN+3, or a number' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l kill-mode -d 'Which processes are asked to stop: the command and all that it started (tree), or only the command (main). After the grace period, all that are left are killed' -r -f -a "tree\t'The command and all that it started'
main\t'Only the command, which stops its workers itself (`KillMode=mixed` of systemd)'"
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l rewrite -d 'Forward an incoming signal as another one, such as TERM=QUIT; may be repeated' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l orphans -d 'What to do with processes that the command leaves behind when it ends by itself: end them, wait for them, or leave them running' -r -f -a "end\t'Ask them to stop, and kill them after the grace period'
wait\t'Wait until they end; a TERM, INT, HUP or QUIT stops them'
leave\t'Let them run'"
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l clear -d 'Remove the exit signal of an earlier run first'
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -l yes -d 'With --clear, remove everything in the directory'
complete -c exitdir -n "__fish_exitdir_using_subcommand lead" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l status -d 'Exit status after the exit signal: 0 (own), or the leader\'s (leader)' -r -f -a "own\t'0, since the command has done its work'
leader\t'The leader\'s exit status, as recorded; 0 if none is recorded'"
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l leader-by -d 'Treat the leader as dead if it has not been seen alive within this time [default: never]' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l poll -d 'Check the directory this often instead of waiting for events, for file systems without events' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l grace -d 'Grace period between asking the command to stop and killing it; a forwarded TERM or INT starts it, too' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l signal -d 'Signal that asks the command to stop: a name such as TERM or RTMIN+3, or a number' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l kill-mode -d 'Which processes are asked to stop: the command and all that it started (tree), or only the command (main). After the grace period, all that are left are killed' -r -f -a "tree\t'The command and all that it started'
main\t'Only the command, which stops its workers itself (`KillMode=mixed` of systemd)'"
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l rewrite -d 'Forward an incoming signal as another one, such as TERM=QUIT; may be repeated' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -l orphans -d 'What to do with processes that the command leaves behind when it ends by itself: end them, wait for them, or leave them running' -r -f -a "end\t'Ask them to stop, and kill them after the grace period'
wait\t'Wait until they end; a TERM, INT, HUP or QUIT stops them'
leave\t'Let them run'"
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand follow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c exitdir -n "__fish_exitdir_using_subcommand status" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand status" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''"
complete -c exitdir -n "__fish_exitdir_using_subcommand status" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand status" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand status" -s h -l help -d 'Print help'
complete -c exitdir -n "__fish_exitdir_using_subcommand clear" -s d -l dir -d 'Directory that the leader and its followers share; may come before or after the command. Without one, nothing can signal, and lead and follow just run their command' -r
complete -c exitdir -n "__fish_exitdir_using_subcommand clear" -s v -l verbose -d 'Log more; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand clear" -s q -l quiet -d 'Log less; may be repeated'
complete -c exitdir -n "__fish_exitdir_using_subcommand clear" -l yes -d 'Remove everything in the directory'
complete -c exitdir -n "__fish_exitdir_using_subcommand clear" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "exit" -d 'Signal that it is time to exit'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "wait" -d 'Wait for the exit signal'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "lead" -d 'Run a command as the leader, and signal when it has ended'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "follow" -d 'Run a command as a follower, and end it at the exit signal'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "status" -d 'Check for the exit signal, and print how the leader ended (exit status 0 yes, 1 no)'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "clear" -d 'Remove the exit signal before a restart'
complete -c exitdir -n "__fish_exitdir_using_subcommand help; and not __fish_seen_subcommand_from exit wait lead follow status clear help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
