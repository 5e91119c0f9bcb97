#!/bin/bash
# rampart.sh start|stop [-p CPU] [-b PROGRAM] [-c CONFIG]  - run the gateway under test, pinned to one CPU (GOMAXPROCS follows)
cd "$(dirname "$0")"; cmd=$1; shift; cpu=0; bin=; conf=conf/rampart.yaml.in
while getopts p:b:c: o; do case $o in p) cpu=$OPTARG;; b) bin=$OPTARG;; c) conf=$OPTARG;; esac; done
PF=out/rampart.pid; D=out/rampart; mkdir -p out
case $cmd in
start)
  rm -rf $D out/rampart.log; mkdir -p $D; cp "$conf" $D/rampart.yaml
  if [ -z "$bin" ]; then bin=$PWD/out/rampart.bin; (cd .. && CGO_ENABLED=0 go build -o "$bin" ./cmd/rampart) || exit 1; fi
  ulimit -n "$(ulimit -Hn)"
  nice -n "${PRIO:-0}" taskset -c "$cpu" "$bin" run -c $D/rampart.yaml > out/rampart.log 2>&1 &
  echo $! > $PF; for i in $(seq 100); do grep -qs "rampart is up" out/rampart.log && break; sleep 0.1; done
  grep -q 'rampart is up' out/rampart.log || { tail -5 out/rampart.log >&2; exit 1; }; cat $PF;;
stop) p=$(cat $PF 2>/dev/null); [ -n "$p" ] && kill "$p" 2>/dev/null; for i in $(seq 100); do [ -d "/proc/$p" ] || break; sleep 0.1; done; rm -f $PF;;
esac
