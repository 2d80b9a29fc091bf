#!/usr/bin/env bash
# build.sh: the enclave's own kernel for x86_64, in the layout of AWS's folder of blobs: bzImage, bzImage.config, cmdline.
# Linux 6.12 as Debian 12 has it, pinned by version and SHA-256. Its bytes have to be those that kernel.sha256 records with
# the compiler. 5 minutes on two idle cores; needs root on Debian 12 to install what it builds with.
#   OUT     folder to write (dist/kernel/amd64)
#   SOURCE  the .deb with the source, if apt has that version no longer
#   UPDATE  1: record the result in kernel.sha256 and bzImage.config, after a change of what it is made from
set -euo pipefail
cd "$(dirname "$0")"
package=linux-source-6.12
version=6.12.117-1~deb12u1
sum=e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703
here=$PWD
mkdir -p "${OUT:=../../../dist/kernel/amd64}"
out=$(realpath "$OUT")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

../../../.ci/apt gcc libc6-dev make flex bison bc perl xz-utils libelf-dev dpkg-dev

cd "$work"
if [ -n "${SOURCE:-}" ]; then
	cp "$(cd "$here" && realpath "$SOURCE")" source.deb
else
	timeout 300 apt-get -qq -o APT::Sandbox::User=root download "$package=$version" >/dev/null ||
		{ echo "apt has no $package $version (a newer one: pin it here, then UPDATE=1; or give SOURCE=)" >&2; exit 1; }
	mv ./*.deb source.deb
fi
echo "$sum  source.deb" | sha256sum --check --quiet
dpkg -x source.deb deb
mkdir linux build
tar -xJf "deb/usr/src/$package.tar.xz" -C linux --strip-components=1
rm -rf deb source.deb

# Nothing of this machine, this user or this time gets into the kernel.
export ARCH=x86_64 LC_ALL=C TZ=UTC KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=redoubt KBUILD_BUILD_HOST=redoubt
export KBUILD_BUILD_VERSION=1
unset KCFLAGS KCPPFLAGS KAFLAGS CROSS_COMPILE LOCALVERSION
cd linux
make -s O=../build tinyconfig >/dev/null
scripts/kconfig/merge_config.sh -m -O ../build ../build/.config "$here"/{enclave,x86_64}.config >/dev/null
make -s O=../build olddefconfig
cd ../build
# Kconfig drops without a word what another option forbids or demands.
while read -r line; do
	case $line in
	CONFIG_*) grep -qxF -- "$line" .config ;;
	"# CONFIG_"*" is not set") option=${line#\# }; ! grep -q "^${option%% *}=" .config ;;
	esac || { echo "the kernel's Kconfig did not take: $line" >&2; exit 1; }
done < <(cat "$here"/{enclave,x86_64}.config)

make -s -j"${JOBS:-$(nproc)}" bzImage >make.log 2>&1 || { tail -n 30 make.log >&2; exit 1; }
cp arch/x86/boot/bzImage "$out/bzImage"
cp .config "$out/bzImage.config"
cp "$here/cmdline" "$out/cmdline"

cd "$here"
record=kernel.sha256
if [ "${UPDATE:-}" = 1 ]; then
	cp "$out/bzImage.config" bzImage.config
	{
		echo "# Written by UPDATE=1 make kernel, with $(gcc --version | head -n 1), $(ld --version | head -n 1)."
		sha256sum build.sh cmdline enclave.config x86_64.config
		(cd "$out" && sha256sum bzImage bzImage.config)
	} >$record
fi
echo "made with: $(gcc --version | head -n 1), $(ld --version | head -n 1)"
head -n 1 $record
(cd "$out" && sha256sum bzImage bzImage.config)
grep -E ' bzImage(\.config)?$' $record | (cd "$out" && sha256sum --check --quiet)
