#!/usr/bin/env python3
"""Drives src/sbcload against any SIP border element and tabulates the results.

  bench.py sig   --udp IP:PORT --tls IP:PORT --sut-pid PID[,PID] --label NAME   signalling tests
  bench.py media --tls IP:PORT --sut-pid PID[,PID] --label NAME                 media through SIP calls
  bench.py ng    --ng IP:PORT --sut-pid PID --label NAME                        media, rtpengine's own protocol
  bench.py flat  --udp IP:PORT --sut-pid PID[,PID] --label NAME                 memory while 100,000 calls go through
  bench.py floor                                                                reference relays
  bench.py table NAME...                                                        medians (min..max) as Markdown

The SUT must already run, pinned to one CPU (taskset -c 0); the generator is pinned to
--gen-cpu. Raw JSON lines are appended to out/NAME.jsonl. Everything stays on 127.0.0.0/8.
"""
import argparse, json, os, signal, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
GEN = os.path.join(HERE, "src", "sbcload")
OUT = os.path.join(HERE, "out")


PRIO = int(os.environ.get("PRIO", "0"))     # -15 on a machine that others use as well; 0 leaves the scheduler alone


def raise_priority():
    """Foreign work on the machine must not preempt a measurement: weigh this process group up in the scheduler."""
    if PRIO >= 0:
        return None
    try:
        with open("/proc/self/autogroup") as f:
            old = f.read().split()[-1]
        with open("/proc/self/autogroup", "w") as f:
            f.write("-12")
        return old
    except OSError:
        return None


def restore_priority(old):
    if old is not None:
        try:
            with open("/proc/self/autogroup", "w") as f:
                f.write(old)
        except OSError:
            pass


class Bench:
    def __init__(self, a):
        self.a = a
        self.path = os.path.join(OUT, a.label + ".jsonl")
        self.best = {}

    def run(self, test, args, limit=120, keep=True):
        cmd = ["nice", "-n", str(PRIO), "taskset", "-c", str(self.a.gen_cpu), "timeout", str(limit), GEN, "--label", test]
        if self.a.sut_pid:
            cmd += ["--sut-pid", self.a.sut_pid]
        cmd += [str(x) for x in args]
        steal0 = steal()
        p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        rows = [json.loads(l) for l in p.stdout.splitlines() if l.startswith("{")]
        for r in rows:
            r["host_steal_s"] = round(steal() - steal0, 2)
            if keep:
                with open(self.path, "a") as f:
                    f.write(json.dumps(r) + "\n")
            print(brief(r), flush=True)
        if not rows:
            print("no result:", p.stderr.strip()[-300:], flush=True)
        return rows

    def sip(self, tp):
        a = self.a
        return ["--sut", a.tls if tp == "tls" else a.tcp if tp == "tcp" else a.udp, "--transport", tp, "--uas", a.uas,
                "--domain", a.domain, "--src", a.src, "--src-count", a.src_count]

    def knee(self, name, args, start, factor=1.15, top=20000):
        """Highest rate of a geometric ladder that holds; a failed rung gets a second chance."""
        start = self.best.get(name, start * 1.25) * 0.8       # later runs begin just below the earlier result
        best, rate = 0, start
        while rate <= top:
            ok = False
            for _ in range(2):
                r = self.run(f"{name}-ladder", args + ["--rate", int(rate), "--duration", a_s(self.a, 1), "--warmup", 1.5, "--max-active", 60000], keep=False)
                ok = bool(r) and clean(r[0])
                if ok:
                    break
                time.sleep(4)
            if not ok:
                break
            best = r[0]
            rate *= factor
        if best:
            best["label"] = name
            self.best[name] = best["rate"]
            with open(self.path, "a") as f:
                f.write(json.dumps(best) + "\n")
            print(f"== {name}: {best['rate']}/s sustained", flush=True)
        else:
            print(f"== {name}: not even {start}/s", flush=True)


def a_s(a, extra):
    return a.seconds + extra


def steal():
    with open("/proc/stat") as f:
        return int(f.readline().split()[8]) / 100


def clean(r):
    """No failure, no retransmission storm, answers within T1."""
    n = max(r["started"], 1)
    slow = max(r.get(k, {}).get("p99_us", 0) for k in ("bye", "trans", "ring"))
    return (r["failed"] == 0 and r["stuck"] == 0 and r["no_slot"] == 0 and r["conn_lost"] == 0 and r["conn_fail"] == 0
            and r["retrans_uac"] + r["retrans_uas"] <= n * 0.001 and slow < 500000 and r["completed"] >= 0.995 * n)


def g(r, h, q):
    return r.get(h, {}).get(q, "-")


def brief(r):
    if r["mode"] == "hold":
        s = f"{r['label']}: {r['calls']} calls"
        if "pps" in r:
            s += (f" {r['pps']:.0f} pps loss {r['loss_pct']}% lat A>B p50/p99/max {g(r,'lat_ab','p50_us')}/{g(r,'lat_ab','p99_us')}/{g(r,'lat_ab','max_us')}us"
                  f" gen lag p99 {g(r,'gen_lag','p99_us')}us auth/cross/malformed {r['bad_auth']}/{r['crosstalk']}/{r['malformed']}")
        return s + f" SUT {r.get('sut_cpu_pct')}% {r.get('sut_cpu_us_per_pkt')} us/pkt pss {r.get('sut_pss_mb')} MB gen {r['gen_cpu_pct']}%"
    return (f"{r['label']}: {r['rate']}/s done {r['completed']} fail {r['failed']} stuck {r['stuck']} rtx {r['retrans_uac']}+{r['retrans_uas']}"
            f" {r.get('sut_cpu_us_per_op')} us/op SUT {r.get('sut_cpu_pct')}% gen {r['gen_cpu_pct']}%"
            f" ring {g(r,'ring','p50_us')}/{g(r,'ring','p99_us')} bye {g(r,'bye','p50_us')}/{g(r,'bye','p99_us')} trans {g(r,'trans','p50_us')}/{g(r,'trans','p99_us')}us"
            + (f" flood {r['flood_sent']} leaked {r['flood_leaked']} replies {r['flood_replies']}" if "flood_sent" in r else "") + (f" [{r['last_failure']}]" if "last_failure" in r else ""))


def sig(a):
    b = Bench(a)
    want = a.tests.split(",") if a.tests else ["fixed", "knee", "flood", "handshake", "memory"]
    tps = [t for t in ("udp", "tls") if getattr(a, t)]
    for i in range(a.runs):
        for tp in tps:
            s = b.sip(tp)
            if "fixed" in want:
                for rate in [int(x) for x in a.rates.split(",")]:
                    b.run(f"call-{tp}-{rate}", ["--mode", "call", "--rate", rate, "--duration", a_s(a, 2), "--warmup", 2] + s)
                if a.register:
                    b.run(f"register-{tp}-2000", ["--mode", "register", "--rate", 2000, "--duration", a_s(a, 2), "--warmup", 2] + s)
            if "knee" in want:
                b.knee(f"max-call-{tp}", ["--mode", "call"] + s, a.knee_call)
                b.knee(f"max-register-{tp}", ["--mode", "register"] + s, a.knee_reg)
        if "flood" in want:
            tp = "tls" if a.tls else "udp"
            legit = ["--mode", "call", "--rate", 50, "--duration", a_s(a, 3), "--warmup", 2] + b.sip(tp)
            b.run("flood-none", legit)
            # the flood is UDP (cheapest for an attacker) unless only TLS exists: a second generator, legit calls stay on TLS
            for kind, src, n, extra in (("invite", "127.0.9.1", 1, []), ("options", "127.0.9.2", 1, []), ("invite", "127.0.9.3", 1, ["--flood-ua", "friendly-scanner"]),
                                        ("garbage", "127.0.9.4", 1, []), ("invite", "127.0.10.1", 200, [])):   # the distributed one last: its aftermath lingers
                name = f"flood-{kind}{'-scanner' if extra else ''}-{n}src-{a.flood_rate}"
                fl = subprocess.Popen(["nice", "-n", str(PRIO), "taskset", "-c", str(a.gen_cpu), "timeout", "30", GEN, "--mode", "none", "--duration", str(a_s(a, 4)), "--warmup", "1",
                                       "--sut", a.udp or a.tls, "--transport", "udp" if a.udp else "tls", "--uas", "127.0.0.9:5999", "--src", "127.0.0.9", "--src-port", "6999", "--domain", a.domain,
                                       "--flood-rate", str(a.flood_rate), "--flood-kind", kind, "--flood-src", src, "--flood-src-count", str(n)] + extra, stdout=subprocess.PIPE, text=True)
                rows = b.run(name, legit, keep=False)
                line = [l for l in fl.communicate()[0].splitlines() if l.startswith("{")]
                for r in rows:
                    f = json.loads(line[0]) if line else {}
                    r.update({"flood_sent": f.get("flood_sent"), "flood_replies": f.get("flood_replies"), "flood_codes": f.get("flood_codes")})
                    r["flood_leaked"] = r.get("flood_leaked_uas", r.get("flood_leaked", 0))
                    with open(b.path, "a") as o:
                        o.write(json.dumps(r) + "\n")
                    print("   flood:", r["flood_sent"], "sent,", r["flood_replies"], "answered,", r["flood_leaked"], "leaked to the PBX", flush=True)
                time.sleep(a.flood_pause)
        if "handshake" in want and a.tls:
            s = b.sip("tls")
            b.run("handshake-200", ["--mode", "options", "--conn-per-call", "--rate", 200, "--duration", a_s(a, 2), "--warmup", 2] + s)
            b.run("handshake-500", ["--mode", "options", "--conn-per-call", "--rate", 500, "--duration", a_s(a, 2), "--warmup", 2] + s)
            if "hsknee" in want: b.knee("max-handshake", ["--mode", "options", "--conn-per-call"] + s, a.knee_tls, 1.2, 5000)
        if "memory" in want:
            b.run("memory", ["--mode", "hold", "--media", "none", "--steps", "1000,3000", "--window", 2, "--rate", 300] + b.sip(tps[-1]))


def media(a):
    b = Bench(a)
    tp = "tls" if a.tls else "udp"
    s = b.sip(tp)
    for i in range(a.runs):
        b.run("media-srtp", ["--mode", "hold", "--media", "srtp", "--steps", a.steps, "--window", a.window, "--rate", 200] + s, 300)
        time.sleep(3)
        if a.dtls:
            b.run("media-dtls", ["--mode", "hold", "--media", "dtls", "--steps", a.dtls, "--window", a.window, "--rate", 50] + s, 300)
            time.sleep(3)
        for m in ("srtp", "dtls") if a.dtls else ("srtp",):
            b.run(f"setup-{m}", ["--mode", "call", "--media", m, "--pps", 2, "--rate", 50, "--duration", 10, "--warmup", 2, "--hold-ms", 1000] + s)
            time.sleep(2)


def ng(a):
    b = Bench(a)
    for i in range(a.runs):
        b.run("ng-srtp", ["--mode", "hold", "--media", "srtp", "--ng", a.ng, "--steps", a.steps, "--window", a.window, "--rate", 500], 300)
        time.sleep(2)


def floor(a):
    for i in range(a.runs):
        for m in ("none", "srtpx", "libsrtp"):
            p = subprocess.Popen(["nice", "-n", str(PRIO), "taskset", "-c", "0", os.path.join(HERE, "src", "floor"), "1600", "127.0.0.2:30000", "127.0.0.2:34000", m], stdout=subprocess.PIPE)
            p.stdout.readline()
            a.sut_pid = str(p.pid)
            steps = a.steps if m != "libsrtp" else "50,200,400"
            Bench(a).run(f"floor-{m}", ["--mode", "hold", "--media", "rtp" if m == "none" else "srtp", "--relay", "127.0.0.2:30000,127.0.0.2:34000", "--steps", steps, "--window", a.window, "--rate", 2000], 300)
            p.terminate()
            p.wait()


def resident(pids):
    """Resident megabytes of the system under test."""
    kb = 0
    for pid in pids.split(","):
        with open(f"/proc/{pid}/status") as f:
            kb += sum(int(l.split()[1]) for l in f if l.startswith("VmRSS:"))
    return kb / 1024


def flat(a):
    """Memory must not grow with the number of calls that went through. It does until the transactions
    of the first calls have lived their time, 32 s after their end, and not any more after that."""
    b = Bench(a)
    pids, rate, n = a.sut_pid, a.flat_rate, a.flat_calls
    print(f"{a.label}: {n} calls, {rate}/s; resident MB: at start {resident(pids):.0f}", end="", flush=True)
    args = ["--mode", "call", "--rate", rate, "--duration", n / rate, "--warmup", 1, "--label", "flat"] + b.sip("udp")
    gen = subprocess.Popen(["nice", "-n", str(PRIO), "taskset", "-c", str(a.gen_cpu), GEN] + [str(x) for x in args], stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    for part in (0.2, 0.6, 1.0):
        time.sleep(max(0, begun + part * n / rate - time.monotonic()))
        print(f", after {round(part * n)} {resident(pids):.0f}", end="", flush=True)
    row = [json.loads(l) for l in gen.communicate(timeout=120)[0].splitlines() if l.startswith("{")]
    time.sleep(40)
    print(f", 40 s later {resident(pids):.0f}; " + (f"{row[0]['failed'] + row[0]['stuck']} of {row[0]['started']} failed" if row else "no result"), flush=True)


def table(names):
    for name in names:
        rows = [json.loads(l) for l in open(os.path.join(OUT, name + ".jsonl"))]
        groups = {}
        for r in rows:
            groups.setdefault((r["mode"] == "hold", r["label"], r["calls"] if r["mode"] == "hold" else 0), []).append(r)

        def cell(rs, f, nd=1):
            v = [x for x in (f(r) for r in rs) if isinstance(x, (int, float))]
            return "-" if not v else f"{statistics.median(v):.{nd}f} ({min(v):.{nd}f}..{max(v):.{nd}f})"
        sigs = [(k, v) for k, v in groups.items() if not k[0]]
        holds = [(k, v) for k, v in groups.items() if k[0]]
        if sigs:
            print(f"\n### {name}: signalling, median (min..max)\n")
            print("| test | runs | rate/s | failed | retrans | SUT CPU us/op | SUT CPU % | ring or trans p50 us | p99 us | BYE p99 us | flood leaked/sent | gen CPU % |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
            for (_, lab, _), rs in sigs:
                lat = lambda r, q: r.get("ring", r.get("trans", {})).get(q)
                fl = f"{sum(r.get('flood_leaked') or 0 for r in rs)}/{sum(r.get('flood_sent') or 0 for r in rs)}" if any("flood_sent" in r for r in rs) else "-"
                print(f"| {lab} | {len(rs)} | {cell(rs, lambda r: r['rate'], 0)} | {cell(rs, lambda r: r['failed'] + r['stuck'], 0)} | {cell(rs, lambda r: r['retrans_uac'] + r['retrans_uas'], 0)} | {cell(rs, lambda r: r.get('sut_cpu_us_per_op'), 0)} | {cell(rs, lambda r: r.get('sut_cpu_pct'), 0)} | {cell(rs, lambda r: lat(r, 'p50_us'), 0)} | {cell(rs, lambda r: lat(r, 'p99_us'), 0)} | {cell(rs, lambda r: r.get('bye', {}).get('p99_us'), 0)} | {fl} | {cell(rs, lambda r: r['gen_cpu_pct'], 0)} |")
        if holds:
            print(f"\n### {name}: calls held, median (min..max)\n")
            print("| test | calls | runs | pps | loss % | CPU us/packet | SUT CPU % | lat p50 us | lat p99 us | PSS KB/call | gen lag p99 us | gen CPU % | auth/cross/malformed |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|")
            for (_, lab, calls), rs in sorted(holds, key=lambda x: (x[0][1], x[0][2])):
                both = lambda r, q: max(r.get("lat_ab", {}).get(q, 0), r.get("lat_ba", {}).get(q, 0)) if "lat_ab" in r else None
                bad = sum(r.get("bad_auth", 0) for r in rs), sum(r.get("crosstalk", 0) for r in rs), sum(r.get("malformed", 0) for r in rs)
                print(f"| {lab} | {calls} | {len(rs)} | {cell(rs, lambda r: r.get('pps'), 0)} | {cell(rs, lambda r: r.get('loss_pct'), 3)} | {cell(rs, lambda r: r.get('sut_cpu_us_per_pkt') or None, 2)} | {cell(rs, lambda r: r.get('sut_cpu_pct'), 0)} | {cell(rs, lambda r: both(r, 'p50_us'), 0)} | {cell(rs, lambda r: both(r, 'p99_us'), 0)} | {cell(rs, lambda r: r.get('pss_kb_per_call'), 1)} | {cell(rs, lambda r: r.get('gen_lag', {}).get('p99_us'), 0)} | {cell(rs, lambda r: r['gen_cpu_pct'], 0)} | {bad[0]}/{bad[1]}/{bad[2]} |")


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "table":
        return table(sys.argv[2:])
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cmd", choices=["sig", "media", "ng", "flat", "floor"])
    p.add_argument("--label", default="floor"); p.add_argument("--udp"); p.add_argument("--tcp"); p.add_argument("--tls"); p.add_argument("--ng")
    p.add_argument("--sut-pid"); p.add_argument("--uas", default="127.0.0.3:5060"); p.add_argument("--domain", default="sbc.test")
    p.add_argument("--src", default="127.0.1.1"); p.add_argument("--src-count", type=int, default=128); p.add_argument("--gen-cpu", type=int, default=1)
    p.add_argument("--runs", type=int, default=3); p.add_argument("--tests"); p.add_argument("--rates", default="500,2000", help="calls per second of the fixed runs"); p.add_argument("--no-register", dest="register", action="store_false"); p.add_argument("--steps", default="50,200,400,600,800,900,1000,1100"); p.add_argument("--dtls", default="50,200")
    p.add_argument("--seconds", type=float, default=5, help="measured seconds per signalling run"); p.add_argument("--window", type=float, default=5); p.add_argument("--flood-rate", type=int, default=5000); p.add_argument("--flood-pause", type=float, default=5)
    p.add_argument("--knee-call", type=float, default=2000); p.add_argument("--knee-reg", type=float, default=4000); p.add_argument("--knee-tls", type=float, default=200)
    p.add_argument("--flat-calls", type=int, default=100000); p.add_argument("--flat-rate", type=int, default=1500)
    a = p.parse_args()
    os.makedirs(OUT, exist_ok=True)
    old = raise_priority()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        {"sig": sig, "media": media, "ng": ng, "flat": flat, "floor": floor}[a.cmd](a)
    finally:
        restore_priority(old)


if __name__ == "__main__":
    main()
