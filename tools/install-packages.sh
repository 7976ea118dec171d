#!/usr/bin/env bash
# Installs what one group of targets needs and is missing: tools/install-packages.sh GROUP, where
# GROUP is a column of tools/packages.txt. On Debian, as root or with a sudo that asks nothing, apt
# does it; otherwise the one command to run is printed. Silent when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

group=${1:?usage: tools/install-packages.sh build|demo|test|deb|check|llama-cpp}

# The names in packages.txt of this group, each with its proof: "gcc gcc", "zlib1g-dev lib:zlib".
wanted() {
  awk -v group="$group" '/^[^#]/ { for (i = 3; i <= NF; i++) if ($i == group) print $1, $2 }' \
    tools/packages.txt
}

installed_by_dpkg() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

there_by_proof() {
  case $1 in
  -) ! command -v dpkg-query >/dev/null ;; # elsewhere it comes with the compiler
  lib:*) pkg-config --exists "${1#lib:}" 2>/dev/null ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

missing=()
while read -r package proof; do
  installed_by_dpkg "$package" || there_by_proof "$proof" || missing+=("$package")
done <<<"$(wanted)"
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "godwit needs what Debian packages as: ${missing[*]}" >&2
  echo "install the same from your system's packages, then run this again" >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n)
  if ! sudo -n true 2>/dev/null; then
    echo "packages are missing; run this, then try again:" >&2
    echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" \
    >>"$log" 2>&1
}
install_missing() { apt install --no-install-recommends "${missing[@]}"; }
have_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }

echo "installing: ${missing[*]}" >&2
if have_lists && install_missing; then exit 0; fi
if apt update && install_missing; then exit 0; fi
cat "$log" >&2
echo "apt-get could not install: ${missing[*]}" >&2
exit 1
