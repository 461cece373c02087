#!/usr/bin/env python3
"""dicomesh as a contender of the replication harness.

    python3 replicate.py HARNESS SCENARIO CONTENDER... [the harness's own options] [--dicomesh FILE]

HARNESS is the folder of replbench.py, which has the trees, links, sites, rivals and scenarios. This file adds what dicomesh needs, and
changes four things for all contenders alike, so that sizes and counts stay equal:

The tree. dicomesh moves what lists name, and the harness's tree has values alone. Here the values have the names that dicomesh gives
them (the SHA-256 of their bytes, so that a receiver can check them), and each study has one list more that names all of its values as
frames. The list is some 90 bytes for a value.

The clock of `initial`. An archive that is tended is indexed when somebody joins it. So site A's agent, and Syncthing, run and know their tree
before the clock starts; what that cost is given as `index`. B has joined and has nothing, and its agent does not run. The clock ends
when B has the last file, and both agents say that they are level.

Free memory. What a virtual machine has not used for some seconds its host may take away, and whoever touches it next waits for it to come back: a second and
more for the pages of one run, in whichever contender had the colder ones. So free memory is touched before the clock of `initial` starts.

The order in `latency`. The list of the new study is written last, as every writer of the format does it.
"""
import hashlib
import json
import mmap
import random
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

HARNESS = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(HARNESS))
sys.dont_write_bytecode = True
import replbench as rb  # noqa: E402

BINARY = "dicomesh"


# --------------------------------------------------------------------- trees
class Content:
    """Files by path: where their bytes begin in one block of noise, or the bytes themselves."""

    def __init__(self):
        self.noise = random.Random(42).randbytes(17 << 20)
        self.made = {}

    def value(self, study, key, size):
        rng = random.Random(f"{study}/{key}")
        at, head = rng.randrange(len(self.noise) - size), rng.randbytes(8)
        name = hashlib.sha256(head + memoryview(self.noise)[at + 8:at + size]).hexdigest()
        path = f"studies/{study}/bulkdata/{name[:3]}/{name[3:5]}/{name[5:]}.raw"
        self.made[path] = (head, at, size)
        return path, name

    def list(self, study, values):
        text, name = list_of(study, values)
        packed = packed_as_written(text)
        path = f"studies/{study}/deduplicated/{name}.gz"
        self.made[path] = packed
        return path, len(packed)

    def of(self, path):
        m = self.made[path]
        if isinstance(m, bytes):
            return m
        head, at, size = m
        return head + self.noise[at + 8:at + size]


def packed_as_written(text):
    """One gzip member with the header that dicomesh gives it."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflate.compress(text) + deflate.flush()
            + struct.pack("<II", zlib.crc32(text), len(text)))


CONTENT = Content()


def canonical(o):
    return json.dumps(o, sort_keys=True, separators=(",", ":"))


def text(value, vr="LO"):
    return {"Value": [value], "vr": vr}


def block(kind, rest):
    return {"00090010": text("dedupped"), "00091012": text(kind), "00091018": text("1"), **rest}


def sealed(o):
    return {**o, "00091011": text(hashlib.sha256(canonical(o).encode()).hexdigest())}


def record(study, number, name, size):
    columns = 512 if size >= 512 << 10 else 64
    return sealed(block("instance", {
        "00080016": text("1.2.840.10008.5.1.4.1.1.2", "UI"), "00080018": text(f"{study}.1.{number + 1}", "UI"),
        "0020000D": text(study, "UI"), "0020000E": text(f"{study}.1", "UI"), "00280010": text(size // 2 // columns, "US"),
        "00280011": text(columns, "US"), "00280100": text(16, "US"),
        "7FE00010": {"DeduppedExt": ".raw", "Fragments": [name], "vr": "OW"}}))


def list_of(study, values):
    info = block("info", {})
    records = [canonical(record(study, i, name, size)) for i, (name, size) in enumerate(values)]
    name = hashlib.sha256(("[" + ",".join([canonical(info), *records]) + "]").encode()).hexdigest()
    return ("[" + ",".join([canonical({**info, "00091011": text(name)}), *records]) + "]").encode(), name


def study_spec(study, sizes):
    """The files of a study, its list last."""
    values, spec = [], []
    for key, size in enumerate(sizes):
        path, name = CONTENT.value(study, key, size)
        values.append((name, size))
        spec.append((path, size))
    return spec + [CONTENT.list(study, values)]


def tree_spec(small, small_size, large, large_size, layout, per_study=500):
    studies = {}
    for i in range(small):
        studies.setdefault(f"1.2.826.0.1.{i // per_study}", []).append(small_size)
    for i in range(large):
        studies.setdefault(f"1.2.826.0.1.{i}", []).append(large_size)
    return [f for study, sizes in studies.items() for f in study_spec(study, sizes)]


def write_tree(root, spec, _seed):
    made = set()
    for path, _ in spec:
        p = root / path
        if p.parent not in made:
            p.parent.mkdir(parents=True, exist_ok=True)
            made.add(p.parent)
        p.write_bytes(CONTENT.of(path))


# ---------------------------------------------------------------- contenders
CONFIG = """listen: "{ip}:8730"
http: {{address: "127.0.0.1:0"}}
paths: {{tree: {tree}, current: {home}/current, inbox: {home}/inbox, quarantine: {home}/quarantine, state: {home}/state}}
disk: {{watermark: 1 MiB, watermark_percent: 0, floor: 1 MiB}}
# The making of DICOMweb files is measured elsewhere, and no rival does it.
settle: {{quiet: 10m, quiet_max: 10m, cap: 1h}}
"""


class Dicomesh(rb.Contender):
    live = True
    ahead = True  # A's agent runs, and knows its archive, before the clock starts

    def prepare(self):
        """Both sites are of one cluster, A's agent runs and has settled, B's does not run. What A's start cost."""
        for s in (self.a, self.b):
            s.home.mkdir(parents=True, exist_ok=True)
            (s.home / "config.yaml").write_text(CONFIG.format(ip=rb.IP[s.name], tree=s.tree, home=s.home))
        self.command(self.a, "init", "--cluster", "bench", "--site", "a")
        before, cpu = time.time(), self.a.cpu()
        self.agent(self.a)
        if not rb.until(lambda: self.surveyed(self.a), self.args.limit):
            raise TimeoutError("site A never knew its archive")
        cost = dict(wall=round(time.time() - before, 2), cpuA=round(self.a.cpu() - cpu, 2))
        token = self.command(self.a, "token").split()[-1]
        self.command(self.b, "join", "--site", "b", token)
        return cost

    def command(self, s, name, *rest):
        done = subprocess.run(["ip", "netns", "exec", s.link.ns[s.name], BINARY, name, "--data", s.home, *rest], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr}")
        return done.stdout

    def agent(self, s):
        s.spawn(BINARY, "agent", "--data", s.home)

    def start(self):
        if not (self.a.home / "state").exists():
            self.prepare()
        self.agent(self.b)

    def launch(self):
        for s in (self.a, self.b):
            self.agent(s)

    def ask(self, s, path):
        """What an agent answers; nothing while it does not run."""
        try:
            c = rb.UnixHTTP(s.home / "state" / "agent.sock")
            c.request("GET", path)
            return json.loads(c.getresponse().read())
        except (OSError, ValueError):
            return {}

    def surveyed(self, s):
        status = self.ask(s, "/api/v1/status")
        studies = len(list(s.tree.glob("studies/*/deduplicated")))
        known = status.get("studies", {})
        return status.get("agent") == "running" and known["total"] == studies and known["incomplete"] == 0 and status["work"]["busy"] == 0

    def settled(self):
        """Both say that they hold the same, and it is not nothing."""
        for s, other in ((self.a, "b"), (self.b, "a")):
            if self.ask(s, f"/api/v1/diff?site={other}").get("level") is not True:
                return False
        return True

    def stop(self):
        super().stop()
        for s in (self.a, self.b):
            rb.shutil.rmtree(s.tree / ".dicomesh", ignore_errors=True)

    def link(self):
        """The link with B, as A sees it."""
        for site in self.ask(self.a, "/api/v1/status").get("sites", []):
            if site["name"] == "b" and site["links"]:
                return site["links"][0]
        return {}


class Width(threading.Thread):
    """Watches how many connections a link has."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.began, self.on, self.steps, self.loss = c, time.time(), True, [], 0.0

    def run(self):
        while self.on:
            link = self.c.link()
            n = link.get("connections", 0)
            if n and (not self.steps or self.steps[-1][1] != n):
                self.steps.append((round(time.time() - self.began, 1), n))
            self.loss = link.get("loss", self.loss)
            time.sleep(0.1)

    def end(self):
        self.on = False
        self.join()
        return dict(bundle=self.steps, seen_loss=round(self.loss, 5))


class Syncthing(rb.Syncthing):
    """Syncthing with the head start that dicomesh has: A runs, and has scanned its tree, before the clock starts."""
    ahead = True

    def prepare(self):
        before, cpu = time.time(), self.a.cpu()
        self.launch = lambda: self.serve(self.a)
        super().start()
        if not rb.until(self.scanned, self.args.limit, 0.1):
            raise TimeoutError("Syncthing never knew its tree")
        return dict(wall=round(time.time() - before, 2), cpuA=round(self.a.cpu() - cpu, 2))

    def start(self):
        self.serve(self.b)

    def serve(self, s):
        (s.tree / ".stfolder").mkdir(exist_ok=True)
        s.spawn(self.exe(), "serve", "--home", s.home / "st", "--no-browser", "--no-restart",
                env={"STNOUPGRADE": "1", "STNODEFAULTFOLDER": "1", "HOME": str(s.home)})

    def scanned(self):
        try:
            state = self.rest(self.a, "/rest/db/status?folder=f")
            return state["state"] == "idle" and state["localFiles"] > 0
        except (OSError, KeyError, ValueError, TypeError):
            return False


class RsyncSync(rb.RsyncDaemon):
    """rsync's daemon, and then the file system of B synced: what makes it durable."""

    def run(self):
        command = " ".join(["rsync", "-a", "--delete", f"{self.a.tree}/", self.url(), "&&", "sync", "-f", str(self.b.tree)])
        return self.a.spawn("sh", "-c", command)


rb.CONTENDERS.update({"dicomesh": Dicomesh, "rsync-sync": RsyncSync, "syncthing": Syncthing})


# ----------------------------------------------------------------- scenarios
def touch_memory(most=3 << 30):
    """Has this machine hold so much free memory really, or half of what is available."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            most = min(most, int(line.split()[1]) << 9)
    with mmap.mmap(-1, most) as m:
        for at in range(0, most, mmap.PAGESIZE):
            m[at] = 1


def initial(c, a, b, link, args, spec):
    extra = {"index": c.prepare()} if getattr(c, "ahead", False) else {}
    width = Width(c) if isinstance(c, Dicomesh) else None
    touch_memory()
    with rb.Meter(a, b, link) as m:
        c.start()
        if width:
            width.start()
        p = None if c.live else c.run()
        seen = rb.Arrivals(b.tree, spec)
        ok = rb.until(seen.poll, args.limit)
        last = time.time()
        if ok and extra:
            ok = rb.until(c.settled, args.limit)
        elif ok and p is not None and not isinstance(c, rb.QuicRaw):
            ok = rb.until(lambda: p.poll() is not None, args.limit)
        m.finish()
    m.row.update(ok="complete" if ok else "cut at limit: " + seen.progress(), files=round(last - m.t0, 2))
    if extra:
        m.row.update(of_index=extra["index"], **(width.end() if width else {}))
    return m.row


def mark(marks, name, since, test, limit):
    """When something was so, in seconds after the last write."""
    rb.until(test, limit, 0.005)
    marks[name] = round(time.time() - since, 2)


def latency(c, a, b, link, args, spec):
    if c.live and not rb.until(c.settled, args.limit, 0.2):
        return dict(ok="never settled")
    time.sleep(2)
    study = f"1.2.826.0.1.999{random.randrange(10**6)}"
    new = study_spec(study, random.Random(7).sample([512 << 10] * 300 + [4 << 10] * 300, 600))
    path, size = new.pop()
    CONTENT.made[roundabout := path.replace("deduplicated", "deduplicated/../deduplicated")] = CONTENT.of(path)
    new.append((roundabout, size))  # the harness removes what it finds three folders above each new file
    seen = rb.Arrivals(b.tree, new)
    with rb.Meter(a, b, link) as m:
        write_tree(a.tree, new, 0)
        last_write = time.time()
        p = None if c.live else c.run()
        marks = {}
        if isinstance(c, Dicomesh):
            mark(marks, "known", last_write, lambda: c.ask(a, "/api/v1/diff?site=b").get("level") is False, args.limit)
            mark(marks, "first", last_write, (b.tree / "studies" / study).exists, args.limit)
        ok = rb.until(seen.poll, args.limit, 0.005)
        marks["files"] = round(time.time() - last_write, 2)
        if ok and isinstance(c, Dicomesh):
            ok = rb.until(c.settled, args.limit, 0.01)
        m.finish()
    m.row.update(marks, ok="complete" if ok else "cut at limit: " + seen.progress(), wrote=round(last_write - m.t0, 2), lag=round(m.end - last_write, 2))
    if p is not None:
        rb.until(lambda: p.poll() is not None, 60)
    spec += new
    return m.row


def noop(c, a, b, link, args, spec):
    """Equal archives. `index`: B, which has joined, starts without knowing its own. `restart`: both start, knowing theirs; `know` is from the
    moment that they have a link to the moment that both know that they are level. `idle`: a minute of nothing."""
    if not isinstance(c, Dicomesh):
        return HARNESS_NOOP(c, a, b, link, args, spec)
    rows = {}
    with rb.Meter(a, b, link) as m:
        ok = rb.until(lambda: c.settled() and c.surveyed(b), args.limit, 0.2)
    rows["index"] = dict(m.row, ok=ok)
    rb.Site.stop(a), rb.Site.stop(b)
    with rb.Meter(a, b, link) as m:
        c.launch()
        linked = rb.until(lambda: c.ask(a, "/api/v1/diff?site=b").get("linked"), args.limit, 0.002)
        began = time.time()
        ok = linked and rb.until(c.settled, args.limit, 0.002)
        know = time.time() - began
        m.finish()
    rows["restart"] = dict(m.row, ok=ok, know=round(know, 3))
    time.sleep(10)
    with rb.Meter(a, b, link) as m:
        time.sleep(30)
    rows["idle"] = m.row
    return rows


HARNESS_NOOP = rb.noop
rb.tree_spec, rb.write_tree, rb.initial, rb.latency, rb.noop = tree_spec, write_tree, initial, latency, noop

if __name__ == "__main__":
    if "--dicomesh" in sys.argv:
        at = sys.argv.index("--dicomesh")
        BINARY = str(Path(sys.argv[at + 1]).resolve())
        del sys.argv[at:at + 2]
    del sys.argv[1]
    rb.main()
