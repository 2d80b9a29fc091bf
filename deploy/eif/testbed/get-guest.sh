#!/usr/bin/env bash
# get-guest.sh: TESTBED/guest with the guest's kernel (Debian's cloud kernel 6.12, which has nsm and vsock as modules),
# the modules decompressed, and vhost-device-vsock; and the same kernel in the layout of AWS's folder of blobs, with AWS's
# own command line. Unpacked only, nothing is installed. About 10 seconds, once.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
guest=$TESTBED/guest
[ ! -f "$guest/complete-2" ] || exit 0 # counted up when more is kept here
alone
[ ! -f "$guest/complete-2" ] || exit 0
echo "testbed: fetching the guest's kernel and vhost-device-vsock, once"
../../../.ci/apt xz-utils dpkg-dev seabios qemu-system-x86
rm -rf "$guest"
mkdir -p "$guest/root" "$guest/modules" "$guest/blobs"
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
ln vmlinuz blobs/bzImage
mv root/boot/config-* blobs/bzImage.config
ln modules/nsm.ko blobs/nsm.ko
# aws-nitro-enclaves-cli, blobs/x86_64/cmdline and blobs/aarch64/cmdline
echo "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0" >blobs/cmdline
rm -rf root
touch complete-2
