#!/bin/bash
# sipp_check.sh - independent check of the SIP generator: sipp caller -> SUT (Kamailio peer, UDP) -> sbcload as PBX stub, then sipp on both ends.
cd "$(dirname "$0")"
./kam.sh start -c 1 > /dev/null; S=$(cat out/kamailio.pid.main)
one() { (cd out; nice -n ${PRIO:-0} taskset -c 1 timeout 40 sipp -sf ../conf/sipp_uac.xml 127.0.0.2:5060 -i 127.0.1.50 -p 6100 -s 49301200001 -r 70 -m 500 -nostdin > sipp_uac.log 2>&1; echo "$1: exit $?, $(grep -E 'Successful call|Failed call|Retransmissions' sipp_uac.log | tail -2 | awk -F'|' '{print $1 $3}' | tr -s ' ' | tr '\n' ' ')"); }
nice -n ${PRIO:-0} taskset -c 1 timeout 20 src/sbcload --mode none --duration 12 --warmup 1 --src 127.0.0.9 --src-port 6998 --sut-pid $S > out/sipp_stub.json & G=$!
sleep 1; one "sipp -> kamailio -> sbcload stub"; wait $G; grep -o '"sut_cpu_s":[0-9.]*' out/sipp_stub.json
./kam.sh stop
