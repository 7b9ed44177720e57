# Makes the private host and stays as its process 1. $1: an empty folder, $2: host name. Standard input: ends when the host shall.
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 pgfleet "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work pgfleet root
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
# Devices of its own: a mode that root gives the machine's would be the machine's.
mount -t tmpfs -o mode=755,nosuid,size=64k dev dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p run/lock run/sshd
pivot_root . .
umount -l .
cd /
echo "sandbox of pgfleet's tests" >/run/sandbox
hostname "$2"
printf "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n" "$2" >/etc/hosts
ip link set lo up
# A background job's own standard input is /dev/null.
exec 3<&0
cat <&3 >/dev/null &
echo ready
# wait also buries what was orphaned in here.
wait $!
