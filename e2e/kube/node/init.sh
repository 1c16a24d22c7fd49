# The first process of a real node: what it mounts nobody else sees, and when it ends, all that runs on the node ends with it. $1 is the folder
# in which the node keeps what a machine keeps in /var.
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$1/lib" /var/lib
mount --bind "$1/log" /var/log
mount --make-rshared /
: >"$1/up"
while :; do
	sleep 3600 &
	wait # also for orphans, whom nobody else would bury
done
