#!/bin/bash
# rtpe.sh start|stop [-n THREADS] [-p CPU]  - run rtpengine in userspace mode (no kernel forwarding)
cd "$(dirname "$0")"; cmd=$1; shift; n=1; cpu=0
while getopts n:p: o; do case $o in n) n=$OPTARG;; p) cpu=$OPTARG;; esac; done
PF=out/rtpengine.pid; mkdir -p out
case $cmd in
start)
  ulimit -n $(ulimit -Hn)
  nice -n ${PRIO:-0} taskset -c "$cpu" rtpengine --config-file=none --table=-1 --interface=127.0.0.5 --listen-ng=127.0.0.5:2223 --port-min=20000 --port-max=65000 \
    --num-threads="$n" --foreground --log-stderr --log-level=3 --timeout=600 --silent-timeout=600 --offer-timeout=600 --delete-delay=0 > out/rtpengine.log 2>&1 &
  echo $! > $PF; for i in $(seq 50); do sleep 0.1; ss -lun | grep -q '127.0.0.5:2223' && break; done; sleep 0.3; cat $PF;;
stop) p=$(cat $PF 2>/dev/null); [ -n "$p" ] && kill "$p" 2>/dev/null; for i in $(seq 50); do [ -d /proc/$p ] || break; sleep 0.1; done; rm -f $PF;;
esac
