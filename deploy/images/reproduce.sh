#!/usr/bin/env bash
# reproduce.sh: two releases (release.sh: every binary that ships, for both architectures, container images, enclave images,
# bill of materials, checksums) made in two folders, at two times, in two time zones and languages, with two file creation
# masks and two compiler caches, the second by another user (where this one is root and can become somebody else), must be
# the same to the byte, with the same PCRs. Prints both sets of digests and fails on any difference.
# BLOBS_amd64 and BLOBS_arm64 are the kernels of the enclave images; without one a file of fixed bytes stands in (the PCRs
# then differ from a real image's, but what is compared is the same).
#
# The second build begins with an empty compiler cache: with the first's it would take over what the first compiled, and
# show of the compiler nothing. The first may use this user's, which is where earlier steps of CI have compiled it already.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
chmod 711 "$work"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir -m 755 "$work/blobs"
for kernel in bzImage Image; do
	head -c 65536 /dev/zero | tr '\0' K >"$work/blobs/$kernel"
	printf 'CONFIG_%s=y\n' NSM BLK_DEV_INITRD DEVTMPFS PROC_FS SYSFS VIRTIO_MMIO VIRTIO_MMIO_CMDLINE_DEVICES VSOCKETS \
		VIRTIO_VSOCKETS HW_RANDOM >"$work/blobs/$kernel.config"
done
echo console=ttyS0 >"$work/blobs/cmdline"
BLOBS_amd64=$(realpath "${BLOBS_amd64:-$work/blobs}")
BLOBS_arm64=$(realpath "${BLOBS_arm64:-$work/blobs}")
GOMODCACHE=$(go env GOMODCACHE)
# What runs on the way (bill of materials, enclave image) is compiled as what ships is: it shares the packages.
export BLOBS_amd64 BLOBS_arm64 GOMODCACHE CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' VERSION=reproduce
# The machine code that the enclave links is made once: what it must be, its digests say.
make --no-print-directory asm >&2
asm=wire/kit/sealed/internal/s2nbignum
other=65534 # who builds second: owns the files, and may read this user's module cache but write nothing of it

build() { # build FOLDER CACHE DATE UMASK TIMEZONE LANGUAGE [UID]
	local dir=$1 as=()
	git ls-files -z --cached --others --exclude-standard >"$work/files"
	printf '%s\0' $asm/code_amd64.s $asm/code_arm64.s >>"$work/files"
	(
		umask "$4"
		mkdir -p "$dir" "$2"
		xargs -0 cp --parents -t "$dir" <"$work/files" 2>/dev/null || true # a file that is deleted and not committed
		export GOCACHE=$2 TZ=$5 LC_ALL=$6 HOME=$dir
		if [ -n "${7:-}" ] && [ "$(id -u)" = 0 ]; then
			chown -R "$7:$7" "$dir" "$2"
			as=(setpriv --reuid="$7" --regid="$7" --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
			export USER=nobody LOGNAME=nobody
		fi
		cd "$dir"
		find . -exec touch -d "$3" {} +
		"${as[@]}" deploy/images/release.sh compile >&2
		stat -c %u dist/linux/amd64/enclave >builder
		deploy/images/release.sh pack
		grep -o '"PCR[0-9]*": "[0-9a-f]*"' dist/pcrs-*.json
	) 2>"$work/log" >"$work/digests.$3" || { cat "$work/log"; echo "the build in $dir failed"; exit 1; }
	echo "built in $dir by user $(cat "$dir/builder"), umask $4, $3, $5, $6:"
	cat "$work/digests.$3"
}

build "$work/a" "$(go env GOCACHE)" 2001-02-03 022 UTC C
mkdir -m 755 "$work/somewhere" "$work/somewhere/else"
build "$work/somewhere/else/b" "$work/cache" 2020-11-22 077 Asia/Tokyo C.UTF-8 "$other"
diff "$work/digests.2001-02-03" "$work/digests.2020-11-22" || { echo "the two builds differ"; exit 1; }
for file in linux/{amd64,arm64}/{enclave,parent,api,canary} images/{enclave,parent}-{amd64,arm64}.tar \
	enclave-{amd64,arm64}.eif pcrs-{amd64,arm64}.json redoubt.cdx.json NOTICE; do
	grep -q "  $file\$" "$work/digests.2001-02-03" || { echo "the release lacks $file"; exit 1; }
done
echo "equal"
