# lib.sh: what the testbed's scripts share. Sourced.
# Everything that is fetched or built lies in TESTBED (outside the clone) and is made only when absent.
TESTBED=${TESTBED:-${XDG_CACHE_HOME:-$HOME/.cache}/redoubt/testbed}
mkdir -p "$TESTBED"

# alone: waits for another script that fills TESTBED, then lets none in until this one ends.
alone() {
	exec 9>"$TESTBED/lock"
	flock 9
}

# suite NAME: sets APT to the options of a private apt configuration for one more Debian suite. The machine's own
# sources stay as they are; the mirror is the one that the machine uses already.
suite() {
	local dir=$TESTBED/apt-$1 mirror kind
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | head -n 1)
	[ -n "$mirror" ] || { echo "testbed: no mirror of Debian 12 in apt's sources"; return 1; }
	mkdir -p "$dir"/{lists/partial,cache/archives/partial}
	: >"$dir/status"
	for kind in deb deb-src; do
		echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main"
	done >"$dir/sources.list"
	APT=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::Etc::preferencesparts=/dev/null -o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir/cache"
		-o "Dir::State::status=$dir/status" -o APT::Sandbox::User=root)
	timeout 120 apt-get "${APT[@]}" update >/dev/null
}
