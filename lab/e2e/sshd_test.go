package e2e_test

// reloadSSHD has a host's sshd read its configuration and keys anew, and waits until another socket listens than before: until then the old
// one answers.
const reloadSSHD = `socket() { awk '$2 ~ /:0016$/ && $4 == "0A" { print $10; exit }' /proc/net/tcp; }
old=$(socket)
kill -HUP "$(pgrep -o -x sshd)"
n=0
while new=$(socket); [ -z "$new" ] || [ "$new" = "$old" ]; do n=$((n + 1)); [ $n -lt 600 ] || exit 1; sleep 0.05; done`
