#!/bin/bash
# need.sh  - install what the measurements need and is missing: compilers, peers (Debian packages)
cd "$(dirname "$0")" || exit 2
want=()
command -v gcc >/dev/null || want+=(gcc); command -v make >/dev/null || want+=(make)
[ -e /usr/include/openssl/ssl.h ] || want+=(libssl-dev); [ -e /usr/include/srtp2/srtp.h ] || want+=(libsrtp2-dev)
command -v kamailio >/dev/null || want+=(kamailio kamailio-tls-modules kamailio-extra-modules kamailio-utils-modules)
command -v rtpengine >/dev/null || want+=(rtpengine-daemon); command -v python3 >/dev/null || want+=(python3)
if [ ${#want[@]} -gt 0 ]; then
  echo "installing: ${want[*]}"; sudo=; [ "$(id -u)" -eq 0 ] || sudo="sudo -n"
  # No service of a package may start: the runs start their own.
  made=; [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d >/dev/null; $sudo chmod 755 /usr/sbin/policy-rc.d; made=1; }
  $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null; rc=$?
  [ -n "$made" ] && $sudo rm -f /usr/sbin/policy-rc.d
  [ $rc -eq 0 ] || { echo "bench: packages could not be installed: ${want[*]}" >&2; exit 1; }
fi
