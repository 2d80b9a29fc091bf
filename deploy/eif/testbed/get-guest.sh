#!/usr/bin/env bash
# get-guest.sh: TESTBED/guest with the guest's kernel (Debian's cloud kernel 6.12, which has nsm and vsock as modules),
# the modules decompressed, and vhost-device-vsock. Unpacked only, nothing is installed. About 10 seconds, once.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
guest=$TESTBED/guest
[ ! -f "$guest/complete" ] || exit 0
echo "testbed: fetching the guest's kernel and vhost-device-vsock, once"
apt-get update -qq
apt-get install -y -qq --no-install-recommends xz-utils dpkg-dev seabios qemu-system-x86 >/dev/null
rm -rf "$guest"
mkdir -p "$guest/root" "$guest/modules"
cd "$guest"

get() { # get SUITE PACKAGE: the newest one of that suite, unpacked
	suite "$1"
	timeout 120 apt-get "${APT[@]}" download "$2" >/dev/null
	ls "$2"_*.deb
	dpkg -x "$2"_*.deb root
	rm "$2"_*.deb
}
suite bookworm-backports
image=$(apt-cache "${APT[@]}" depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2; exit}')
get bookworm-backports "$image"
get forky vhost-device-vsock

mv root/boot/vmlinuz-* vmlinuz
mv root/usr/bin/vhost-device-vsock .
tree=$(echo root/lib/modules/*/kernel)
for m in drivers/virtio/virtio_mmio drivers/misc/nsm net/vmw_vsock/vsock \
	net/vmw_vsock/vmw_vsock_virtio_transport_common net/vmw_vsock/vmw_vsock_virtio_transport \
	net/vmw_vsock/vsock_loopback; do
	xz -dc "$tree/$m.ko.xz" >"modules/$(basename $m).ko"
done
rm -rf root
touch complete
