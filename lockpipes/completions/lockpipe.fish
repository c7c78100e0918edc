# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_lockpipe_global_optspecs
    string join \n p/path= v/verbose q/quiet h/help V/version
end

function __fish_lockpipe_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_lockpipe_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_lockpipe_using_subcommand
    set -l cmd (__fish_lockpipe_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c lockpipe -n "__fish_lockpipe_needs_command" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_needs_command" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -s V -l version -d 'Print version'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "create" -d 'Create the pipe; succeed if it already exists'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "c" -d 'Create the pipe; succeed if it already exists'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "read" -d 'Wait for a writer, and discard what is written until the last writer has closed'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "r" -d 'Wait for a writer, and discard what is written until the last writer has closed'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "write" -d 'Wait for a reader; write nothing'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "w" -d 'Wait for a reader; write nothing'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "exists" -d 'Check whether the pipe exists (exit status 0 yes, 1 no)'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "e" -d 'Check whether the pipe exists (exit status 0 yes, 1 no)'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "delete" -d 'Remove the pipe; succeed if there is none'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "d" -d 'Remove the pipe; succeed if there is none'
complete -c lockpipe -n "__fish_lockpipe_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand create" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand create" -l mode -d 'Permissions of a new pipe, whatever the umask is' -r
complete -c lockpipe -n "__fish_lockpipe_using_subcommand create" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand create" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand create" -s h -l help -d 'Print help'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand c" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand c" -l mode -d 'Permissions of a new pipe, whatever the umask is' -r
complete -c lockpipe -n "__fish_lockpipe_using_subcommand c" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand c" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand c" -s h -l help -d 'Print help'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand read" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand read" -l timeout -d 'Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]' -r
complete -c lockpipe -n "__fish_lockpipe_using_subcommand read" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand read" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand read" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand r" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand r" -l timeout -d 'Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]' -r
complete -c lockpipe -n "__fish_lockpipe_using_subcommand r" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand r" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand r" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand write" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand write" -l timeout -d 'Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]' -r
complete -c lockpipe -n "__fish_lockpipe_using_subcommand write" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand write" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand write" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand w" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand w" -l timeout -d 'Give up after this long, such as 500ms, 5s or 1m30s (exit status 110) [default: never]' -r
complete -c lockpipe -n "__fish_lockpipe_using_subcommand w" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand w" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand w" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand exists" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand exists" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand exists" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand exists" -s h -l help -d 'Print help'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand e" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand e" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand e" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand e" -s h -l help -d 'Print help'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand delete" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand delete" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand delete" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand delete" -s h -l help -d 'Print help'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand d" -s p -l path -d 'Path of the pipe; may come before or after the command' -r -F
complete -c lockpipe -n "__fish_lockpipe_using_subcommand d" -s v -l verbose -d 'Log more; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand d" -s q -l quiet -d 'Log less; may be repeated'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand d" -s h -l help -d 'Print help'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand help; and not __fish_seen_subcommand_from create read write exists delete help" -f -a "create" -d 'Create the pipe; succeed if it already exists'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand help; and not __fish_seen_subcommand_from create read write exists delete help" -f -a "read" -d 'Wait for a writer, and discard what is written until the last writer has closed'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand help; and not __fish_seen_subcommand_from create read write exists delete help" -f -a "write" -d 'Wait for a reader; write nothing'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand help; and not __fish_seen_subcommand_from create read write exists delete help" -f -a "exists" -d 'Check whether the pipe exists (exit status 0 yes, 1 no)'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand help; and not __fish_seen_subcommand_from create read write exists delete help" -f -a "delete" -d 'Remove the pipe; succeed if there is none'
complete -c lockpipe -n "__fish_lockpipe_using_subcommand help; and not __fish_seen_subcommand_from create read write exists delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
