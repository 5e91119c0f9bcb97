#!/bin/bash
# kam.sh start|stop [-c CHILDREN] [-m] [-t] [-e] [-p CPU]  - run the Kamailio peer (-m: with rtpengine, -t: topos+redis,
# -e: as an edge under attack: usual pike and htable bans, strangers are challenged)
# KAM_SHM/KAM_PKG choose the allocators: the default "qm" of the Debian build fragments and costs 4x the CPU.
cd "$(dirname "$0")"; cmd=$1; shift; n=2; extra=(); cpu=0; sfx=
while getopts c:metp: o; do case $o in c) n=$OPTARG;; m) extra+=(-A WITH_MEDIA);; e) extra+=(-A WITH_EDGE);; t) extra+=(-A WITH_TOPOS);; p) cpu=$OPTARG;; esac; done
PF=out/kamailio.pid
mkdir -p out
# Kamailio wants whole paths: the test certificate and the configuration are made in out/ at start.
[ -f out/key.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=sbc.test -keyout out/key.pem -out out/cert.pem 2>/dev/null
sed "s#= out/#= $PWD/out/#" conf/tls.cfg.in > out/tls.cfg
sed "s#\"out/tls.cfg\"#\"$PWD/out/tls.cfg\"#" conf/kamailio.cfg > out/kamailio.cfg
case $cmd in
start)
  nice -n ${PRIO:-0} taskset -c "$cpu" kamailio -f out/kamailio.cfg -A NCHILD="$n" "${extra[@]}" -P "$PWD/$PF" -DD -E -x ${KAM_SHM:-tlsf} -X ${KAM_PKG:-fm} -m 3000 -M 16 > out/kamailio.log 2>&1 &
  echo $! > $PF.main; for i in $(seq 50); do sleep 0.1; ss -lun 2>/dev/null | grep -q '127.0.0.2:5080' && break; done; sleep 0.5; cat $PF.main;;
stop) p=$(cat $PF.main 2>/dev/null); [ -n "$p" ] && kill "$p" 2>/dev/null; for i in $(seq 50); do [ -d /proc/$p ] || break; sleep 0.1; done; rm -f $PF.main;;
esac
