# The program that runs a group: steps of the connection's own user that follow each other, below one limiter and in one shell. loop.sh starts it.
#
# Standard input: one line, the nonce; neither arguments nor environment may show it, for processes of other users can read those.
# $1: the group's lines; what they call "$2", "$3", … are this program's own arguments.
#   many_shell <id> <probe 0|1> <limit s> <program> <word>…    a program and its $1, $2, …
#   many_words <id> <probe 0|1> <limit s> <word>…              a command
# Output on both streams: the frames B and E of loop.sh. Exit code: 0 when all steps ran; otherwise a step failed that is no probe, or took longer than all
# limits up to its own: those after it are owed theirs by a group of their own.
#
# Each step runs in a copy of this shell, so that nothing of it reaches the next one. Its $$ is the group's.
IFS= read -r many_nonce
exec </dev/null
# When the time is over the limiter's TERM comes to all. Were this shell gone before a step that lingers, the limiter would take the group for ended.
trap 'exit 143' TERM
many_frame() {
  printf "\n%s %s\n" "$many_nonce" "$*"
  printf "\n%s %s\n" "$many_nonce" "$*" >&2
}
many_clock() {
  read -r many_now many_rest 2>/dev/null </proc/uptime || many_now=0
  many_now=${many_now%%.*}
}
# many_ended ID PROBE LIMIT CODE
many_ended() {
  many_frame "E $1 $4"
  [ "$4" = 0 ] || [ "$2" = 1 ] || exit 1
  many_sum=$((many_sum + $3))
  many_clock
  [ $((many_now - many_began)) -le "$many_sum" ] || exit 1
}
many_hide='trap - TERM; unset many_nonce many_now many_rest many_sum many_began many_hide'
many_shell() {
  many_frame "B $1"
  (eval "$many_hide; shift 4; $4")
  many_ended "$1" "$2" "$3" "$?"
}
many_words() {
  many_frame "B $1"
  (
    eval "$many_hide"
    shift 3
    exec "$@"
  )
  many_ended "$1" "$2" "$3" "$?"
}
many_sum=0
many_clock
many_began=$many_now
eval "$1"
