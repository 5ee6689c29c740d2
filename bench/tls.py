#!/usr/bin/env python3
"""What TLS costs the door as a process: handshakes, requests, idle connections.

    make bench-tls            # or: bench/tls.py handshakes | requests | idle [CONNECTIONS]

Starts the release build on one core with one worker and a service behind it on the other core, where the load is made,
too. Prints CPU time of the door's process (user and system) by what it was spent on, and proportional memory (PSS).
Needs openssl, wrk and h2load (package nghttp2-client).
"""

import os
import pathlib
import re
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOOR = ROOT / "target/release/onedoor"
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """Seconds of CPU that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """Proportional memory of a process, in KiB."""
    return int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Door:
    """A door with a certificate of its own, on core 0."""

    def __init__(self, kind):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "p256" else ["rsa:2048"]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "30", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        self.certificate = folder / "cert.pem"
        self.plain, self.secure, behind = free_port(), free_port(), free_port()
        (folder / "onedoor.yaml").write_text(f"""
process: {{threads: 1}}
log: {{level: warn, access: off}}
listeners:
  plain: {{address: "127.0.0.1:{self.plain}", http2: true, limits: {{requests_per_connection: 1000000}}}}
  secure:
    address: "127.0.0.1:{self.secure}"
    limits: {{requests_per_connection: 1000000, idle_timeout: 10m}}
    tls: {{certificates: [{{cert: cert.pem, key: key.pem}}]}}
routes:
  own: {{path: /own, respond: {{status: 200, body: ok}}}}
  behind: {{path: /, to: "http://127.0.0.1:{behind}", timeout: 30s}}
""")
        (folder / "behind.yaml").write_text(f"""
process: {{threads: 1}}
log: {{level: warn, access: off}}
listeners: {{web: {{address: "127.0.0.1:{behind}", limits: {{requests_per_connection: 1000000}}}}}}
routes: {{all: {{path: /, respond: {{status: 200, body: "{'x' * 1024}"}}}}}}
""")
        self.behind = self.start(folder / "behind.yaml", "1")
        self.process = self.start(folder / "onedoor.yaml", "0")
        self.pid = self.process.pid
        for port in (behind, self.plain, self.secure):
            self.wait_for(port)

    @staticmethod
    def start(file, core):
        return subprocess.Popen(["taskset", "-c", core, DOOR, "run", "-c", file], cwd=file.parent)

    @staticmethod
    def wait_for(port):
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"nobody listens on port {port}")

    def close(self):
        for process in (self.process, self.behind):
            process.kill()
            process.wait()
        self.folder.cleanup()


def context(door, version):
    made = ssl.create_default_context(cafile=door.certificate)
    made.minimum_version = made.maximum_version = version
    return made


def ask(stream):
    stream.sendall(b"GET /own HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return stream.recv(4096)


def handshakes():
    print(f"{'handshake, with one small request':<40} {'CPU µs':>8} {'a second':>9}")
    for kind in ("p256", "rsa"):
        door = Door(kind)
        for version, name in ((ssl.TLSVersion.TLSv1_3, "1.3"), (ssl.TLSVersion.TLSv1_2, "1.2")):
            made = context(door, version)
            for is_resumed in (False, True):
                session, count, refused = None, 2000, 0
                before, began = cpu(door.pid), time.monotonic()
                for _ in range(count):
                    raw = socket.create_connection(("127.0.0.1", door.secure))
                    # Else the client waits for an acknowledgement between its last flight and the request.
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with made.wrap_socket(raw, server_hostname="localhost", session=session) as stream:
                        ask(stream)
                        refused += is_resumed and session is not None and not stream.session_reused
                        session = stream.session if is_resumed else None
                spent = (cpu(door.pid) - before) / count * 1e6
                rate = count / (time.monotonic() - began)
                what = f"TLS {name}, {kind}, {'resumed' if is_resumed else 'full'}"
                print(f"{what:<40} {spent:>8.0f} {rate:>9.0f}" + (f"  {refused} not resumed" if refused else ""))
        door.close()


def load(door, url, http2):
    if http2:
        run = ["taskset", "-c", "1", "h2load", "-D", "6", "-c", "4", "-m", "16", url]
    else:
        run = ["taskset", "-c", "1", "wrk", "-d", "6", "-t", "1", "-c", "64", url]
    before = cpu(door.pid)
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    spent = cpu(door.pid) - before
    found = re.search(r"requests: (\d+) total" if http2 else r"(\d+) requests in", said)
    return spent / int(found[1]) * 1e6


def requests():
    door = Door("p256")
    kinds = {
        "HTTP/1.1": (f"http://localhost:{door.plain}/x", False),
        "HTTP/1.1, TLS 1.3": (f"https://localhost:{door.secure}/x", False),
        "HTTP/2": (f"http://localhost:{door.plain}/x", True),
        "HTTP/2, TLS 1.3": (f"https://localhost:{door.secure}/x", True),
    }
    rounds = [{name: load(door, *kind) for name, kind in kinds.items()} for _ in range(3)]
    print(f"{'1 KiB GET on kept connections':<40} {'CPU µs':>8}   (three rounds in turn, the median and all)")
    for name in kinds:
        all_of = sorted(each[name] for each in rounds)
        print(f"{name:<40} {all_of[1]:>8.1f}   {' '.join(f'{one:.1f}' for one in all_of)}")
    door.close()


def idle(count):
    need = count + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(need, 20000), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for port, is_secure in (("plain", False), ("secure", True)):
        door = Door("p256")
        made = context(door, ssl.TLSVersion.TLSv1_3)
        before, open_ones, lock = memory(door.pid), [], threading.Lock()

        def some(number):
            for _ in range(number):
                stream = socket.create_connection(("127.0.0.1", getattr(door, port)))
                if is_secure:
                    stream = made.wrap_socket(stream, server_hostname="localhost")
                ask(stream)
                with lock:
                    open_ones.append(stream)

        workers = [threading.Thread(target=some, args=(count // 4,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        time.sleep(1)
        each = (memory(door.pid) - before) / len(open_ones)
        print(f"{len(open_ones)} idle {'TLS 1.3' if is_secure else 'plain'} connections after a request each: {each:.1f} KiB each")
        for stream in open_ones:
            stream.close()
        time.sleep(2)
        print(f"  after they left: {(memory(door.pid) - before) / 1024:.1f} MiB above the start")
        door.close()


if __name__ == "__main__":
    what = sys.argv[1:] or ["handshakes", "requests", "idle"]
    if "handshakes" in what:
        handshakes()
    if "requests" in what:
        requests()
    if "idle" in what:
        sizes = [int(word) for word in what if word.isdigit()]
        idle(sizes[0] if sizes else 9000)
