#!/usr/bin/env python3
"""fraud_world.py [--calls N] [--seed S] DIR: labelled calls of an office, as an event stream.

Small on purpose: honest calls by the hour of the week, registrations, a courier and a conference
bridge that look suspicious, and attacks (ping calls and calls back, a hacked extension, forwards
to a satellite, guessed passwords, a robocaller, numbers tried in a row). Weeks follow from N.
"""
import argparse, json, os, random
from datetime import datetime, timedelta, timezone

p = argparse.ArgumentParser()
p.add_argument("--calls", type=int, default=40_000)
p.add_argument("--seed", type=int, default=1)
p.add_argument("dir")
a = p.parse_args()
R = random.Random(a.seed)
USERS = ["2%03d" % i for i in range(max(100, min(2000, a.calls // 400)))]
T0 = datetime(2026, 1, 5, tzinfo=timezone.utc)
WEEKS = max(3, round(a.calls / (len(USERS) * 73)))
DAYS = 7 * WEEKS
PER_DAY = round(a.calls / WEEKS / 5.2)  # of five days; a day of the weekend has a tenth
OFFICE, TRUNK = "198.18.0.11", "198.18.1.201"
HOURS = [0, 0, 0, 0, 0, 0, 1, 3, 9, 11, 11, 11, 9, 9, 11, 10, 9, 6, 3, 1, 1, 0, 0, 0]
lines, labels, n = [], [], 0


def stamp(t):
    return (T0 + timedelta(seconds=t)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def put(t, **e):
    lines.append((round(t, 3), len(lines), e))


def call(t, way, user, frm, to, ring, talk, label=None, by="caller", code=None, source=None, **more):
    global n
    n += 1
    i = "c%d" % n
    inbound = way == "inbound"
    put(t, event="invite", id=i, direction=way, account="office", peer="carrier" if inbound else "", user=user, to=to,
        source=source or (TRUNK if inbound else OFFICE), source_country="GB", **{"from": frm}, **more)
    if code is None or code == 487:
        put(t + 0.1, event="ringing", id=i)
    if talk:
        put(t + ring, event="answer", id=i)
    put(t + ring + talk, event="end", id=i, code=code or 200, ended_by=by, ring_seconds=round(ring, 3), seconds=round(talk, 3))
    if label is not None:
        label["ids"].append(i)


def register(t, user, source, code, label=None):
    global n
    n += 1
    put(t, event="register", id="r%d" % n, account="office", user=user, source=source, source_country="GB", code=code, user_agent="phone")
    if label is not None:
        label["ids"].append("r%d" % n)


def attack(name):
    labels.append({"id": name, "ids": []})
    return labels[-1]


def gb():
    return "+4420%08d" % R.randrange(70_000_000, 80_000_000)


def did(u):
    return "+44207946" + u


abroad = {u: "+33%d" % R.randrange(140_000_000, 150_000_000) for u in USERS if R.random() < 0.2}  # each has one number there
for d in range(DAYS):
    weekend = d % 7 > 4
    for u in USERS:
        register(d * 86400 + 8 * 3600 + R.random() * 3600, u, OFFICE, 200)
    today = PER_DAY // 10 if weekend else PER_DAY
    for _ in range(today):
        t = d * 86400 + R.choices(range(24), HOURS)[0] * 3600 + R.random() * 3600
        u, ring, talk = R.choice(USERS), R.uniform(2, 18), R.expovariate(1 / 150) + 4
        if R.random() < 0.2:
            talk, code = 0, R.choice([486, 480, 487])
        else:
            code = None
        if R.random() < 0.5:
            call(t, "inbound", u, gb(), did(u), ring, talk, code=code)
        else:
            call(t, "outbound", u, did(u), abroad[u] if u in abroad and R.random() < 0.1 else gb(), ring, talk, code=code)

for k in range(3):  # attacks of the last week, and what looks like some
    day = (DAYS - 6 + k) * 86400
    at, bait = attack("ping-%d" % k), "+23233%06d" % R.randrange(10**6)
    for j in range(90):
        u = R.choice(USERS)
        call(day + 10 * 3600 + j * R.uniform(3, 20), "inbound", u, bait[:-2] + "%02d" % R.randrange(4), did(u), R.uniform(.8, 3), 0, at, code=487)
    at = attack("call-back-%d" % k)
    for j in range(4):
        u = R.choice(USERS)
        call(day + 12 * 3600 + j * 600, "outbound", u, did(u), bait[:-2] + "%02d" % R.randrange(4), 1, 60, at)
    at, u = attack("hacked-%d" % k), R.choice(USERS)
    for j in range(60):
        call(day + 3600 + j * 11, "outbound", u, did(u), "+3712%07d" % R.randrange(10**7), 2, R.uniform(300, 900), at, source="198.18.90.%d" % (k + 7))
    at, u = attack("forward-%d" % k), R.choice(USERS)
    for j in range(12):
        call(day + 20 * 3600 + j * 60, "outbound", u, gb(), "+88165%07d" % k, 2, 1200, at, diversion=did(u))
    at = attack("guessing-%d" % k)
    for j in range(400):
        register(day + 14 * 3600 + j * .7, R.choice(USERS[:40]), "198.18.77.%d" % (k + 1), 401, at)
    at, robot = attack("robocall-%d" % k), gb()
    for j in range(80):
        u = R.choice(USERS)
        call(day + 15 * 3600 + j * 3, "inbound", u, robot, did(u), 4, R.choice([3, 4, 15]), at, by="callee" if R.random() < .5 else "caller")
    at, curious = attack("probing-%d" % k), gb()
    for j in range(60):
        call(day + 2 * 3600 + j * 5, "inbound", "", curious, "+44207946%04d" % (5000 + j), 0, 0, at, by="callee", code=404)
    for j in range(25):  # a courier: one number, many people, short calls that are answered
        u = R.choice(USERS)
        call(day + 9 * 3600 + j * 300, "inbound", u, "+447700900%03d" % k, did(u), R.uniform(4, 12), R.uniform(10, 40))
    for j in range(30):  # a conference bridge: many people, one number, each once
        call(day + 16 * 3600 + j * 5, "outbound", USERS[j], did(USERS[j]), "+443300880%03d" % k, 1, 1800)

lines.sort(key=lambda x: x[:2])
os.makedirs(a.dir, exist_ok=True)
with open(a.dir + "/events.jsonl", "w") as f:
    for t, _, e in lines:
        f.write(json.dumps({"at": stamp(t), **e}, separators=(",", ":")) + "\n")
with open(a.dir + "/labels.jsonl", "w") as f:
    for x in labels:
        f.write(json.dumps(x) + "\n")
