#!/usr/bin/env bash
# build-qemu.sh: TESTBED/qemu-nsm, a QEMU 10 with virtio-nsm and the nitro-enclave machine, from Debian's source package
# (Debian's own binaries lack both). About 5 minutes on two cores, once; needs root on Debian 12.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh
[ ! -x "$TESTBED/qemu-nsm" ] || exit 0
alone
[ ! -x "$TESTBED/qemu-nsm" ] || exit 0
echo "testbed: building QEMU, once"
../../../.ci/apt gcc g++ make pkg-config ninja-build flex bison python3 python3-venv \
	python3-setuptools python3-wheel python3-pip libglib2.0-dev libpixman-1-dev libcbor-dev libgnutls28-dev zlib1g-dev \
	libfdt-dev xz-utils patch dpkg-dev qemu-system-x86 seabios
cd "$TESTBED"
suite bookworm-backports
apt-get "${APT[@]}" download meson >/dev/null
dpkg -x meson_*.deb meson
suite trixie
timeout 300 apt-get "${APT[@]}" source --download-only qemu >/dev/null
ls qemu_*.dsc
rm -rf src build debian
mkdir src build
tar -xJf qemu_*.orig.tar.xz -C src --strip-components=1
tar -xJf qemu_*.debian.tar.xz
for p in disable-pycotap skip-unpack-edk2-blobs; do patch -s -p1 -d src <debian/patches/$p.patch; done
cat >src/configs/devices/x86_64-softmmu/nitro.mak <<'EOT'
CONFIG_MICROVM=y
CONFIG_NITRO_ENCLAVE=y
CONFIG_Q35=y
CONFIG_VIRTIO_PCI=y
CONFIG_VHOST_USER_VSOCK=y
CONFIG_VHOST_VSOCK=y
CONFIG_VIRTIO_NSM=y
EOT
export PYTHONPATH=$TESTBED/meson/usr/lib/python3/dist-packages
cd build
../src/configure --python=/usr/bin/python3 --target-list=x86_64-softmmu --without-default-features \
	--without-default-devices --with-devices-x86_64=nitro --enable-system --enable-tcg --enable-vhost-user \
	--enable-vhost-kernel --enable-libcbor --enable-gnutls --enable-fdt=system --disable-docs --disable-download \
	--disable-install-blobs >configure.log
ninja -j"$(nproc)" qemu-system-x86_64 >build.log || { tail -n 30 build.log; exit 1; }
./qemu-system-x86_64 -device help | grep -q virtio-nsm-pci
./qemu-system-x86_64 -M help | grep -q nitro-enclave
strip -o "$TESTBED/qemu-nsm.new" qemu-system-x86_64
cd "$TESTBED"
mv qemu-nsm.new qemu-nsm
rm -rf src build debian meson *.tar.xz *.dsc *.deb apt-trixie apt-bookworm-backports
