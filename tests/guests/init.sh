#!/bin/busybox sh
# The guest's only program: load the drivers, keep disks, network and rng busy, count on the
# console: "C 7" once in each 0.5 s, after "READY".
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo 3 >/proc/sys/kernel/printk
while read -r module; do insmod "/m/$module.ko" 2>/dev/null; done </m/list
sleep 1
for path in /sys/class/net/*; do
    card=${path##*/}
    [ "$card" = lo ] && continue
    ip link set "$card" up
    ip addr add 10.9.0.2/24 dev "$card"
    echo "NET $card $(cat "$path/device/features" 2>/dev/null)"
    ( while :; do arping -c 1 -w 1 -I "$card" 10.9.0.1 >/dev/null 2>&1; sleep 0.3; done ) &
done
for path in /sys/block/*; do
    disk=${path##*/}
    case $disk in loop* | ram* | zram* | fd* | sr*) continue ;; esac
    echo "DISK $disk"
    ( n=0; while :; do
        dd if="/dev/$disk" of=/dev/null bs=4k count=1 skip=$((n % 16)) iflag=direct 2>/dev/null &&
            n=$((n + 1)) && echo $n >"/tmp/$disk"
        sleep 0.2
    done ) &
done
if [ -e /dev/hwrng ]; then
    ( while :; do dd if=/dev/hwrng of=/dev/null bs=16 count=1 2>/dev/null; sleep 0.3; done ) &
fi
echo "READY $(uname -r)"
c=0
while :; do
    c=$((c + 1))
    line="C $c"
    for file in /tmp/*; do [ -e "$file" ] && line="$line ${file##*/}=$(cat "$file")"; done
    echo "$line"
    sleep 0.5
done
