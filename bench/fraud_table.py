#!/usr/bin/env python3
"""fraud_table.py CORPORA OUT [1]: the score of alerts that were replayed, as a table; 1: other detectors', too.

The scorer matches an alert with an attack by its kind, its subject and the time; see score.py there.
"""
import json, os, subprocess, sys

corpora, out = sys.argv[1], sys.argv[2]
sys.path.insert(0, corpora)
import adapt, score  # noqa: E402

adapt.TYPE.setdefault("scanner", "sip_scan")  # a tool that says its name
SETS = (("offices", ["dev-pbx-1", "dev-pbx-2", "dev-pbx-3"]), ("call centre", ["dev-cc-1"]))
TARGET = {"offices": (0.92, 0.005), "call centre": (0.98, None)}


def ours(s):
    path = "%s/%s/scored.jsonl" % (out, s)
    with open(path, "w") as f:
        stdout, sys.stdout = sys.stdout, f
        try:
            adapt.alerts("%s/%s/alerts.jsonl" % (out, s))
        finally:
            sys.stdout = stdout
    return path


def theirs(name):
    def alerts(s):
        path = "%s/%s/%s.jsonl" % (out, s, name)
        if not os.path.exists(path):
            subprocess.run([sys.executable, "-B", corpora + "/baselines.py", name, "%s/%s/events.jsonl" % (out, s), path], check=True, stdout=subprocess.DEVNULL)
        return path
    return alerts


def row(name, title, sets, alerts):
    r = score.agg([score.score("%s/%s" % (out, s), alerts(s)) for s in sets])
    x = r["summary"]
    leak = x["usd_leak"] / max(x["usd_total"], 1e-9)
    print("| %s | %s | %d of %d | %.3f | %.3f | **%.3f** | %.2f | %.2f%% |" % (
        name, title, x["detected"], x["attacks"], x["recall"], x["precision"], x["f1"], x["fa_per_1000_calls"], 100 * leak))
    return r, x["f1"], leak


print("| detector | traffic | found | recall | precision | F1 | false alarms per 1000 calls | money leaked |\n|---|---|---|---|---|---|---|---|")
results, met = {}, True
for title, sets in SETS:
    results[title], f1, leak = row("rampart", title, sets, ours)
    want, most = TARGET[title]
    met = met and f1 >= want and (most is None or leak <= most)
if len(sys.argv) > 3:
    for name in ("opensips-tut-warn", "opensips-tuned", "kamailio", "opensips+kamailio", "hcc-2", "gocdr"):
        for title, sets in SETS:
            row(name, title, sets, theirs(name))
for title, _ in SETS:
    by = results[title]["by"]
    print("\n%s, by attack: " % title + ", ".join("%s %d/%d" % (k.split("/")[0], v["det"], v["n"]) for k, v in by.items() if k.endswith("/*")))
    print("missed: " + (", ".join("%s %d" % (k, v["n"] - v["det"]) for k, v in by.items() if not k.endswith("/*") and v["det"] < v["n"]) or "none"))
    print("false incidents by cause: " + json.dumps(dict(results[title]["summary"]["fp_by_cause"])))
print("\ntargets (offices: F1 0.92, 0.5% leaked; call centre: F1 0.98): " + ("met" if met else "NOT met"))
sys.exit(0 if met else 1)
