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
mount --rbind /dev dev
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
