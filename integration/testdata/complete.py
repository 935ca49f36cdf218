"""Types into psql at a terminal, presses Tab, and fails where the line does not become what it should."""
import os
import pty
import select
import sys
import time

dsn = sys.argv[1]
CASES = [
    ("SELECT * FROM vis", "SELECT * FROM visits "),
    ("SELECT * FROM quipu.rep", "SELECT * FROM quipu.replicas "),
    ("\\d vis", "\\d visits "),
    ("\\dt quipu.no", "\\dt quipu.nodes "),
    ("\\dn pub", "\\dn public "),
    ("\\df cross", "\\df crosstab "),
    ("INSERT INTO visits (lev", "INSERT INTO visits (level "),
    ("SHOW statement_t", "SHOW statement_timeout "),
    ("SET quipu.mem", "SET quipu.memory_limit "),
    ("COPY vis", "COPY visits "),
    ("DROP TABLE vis", "DROP TABLE visits "),
]

pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", PSQL_HISTORY="/dev/null")
    os.execvp("psql", ["psql", "-X", dsn])


rest = b""


def read(until):
    """Reads until the terminal has shown a text; what it shows behind it is read next time."""
    global rest
    end = time.monotonic() + 10
    while until not in rest:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        if not ready:
            raise SystemExit(f"psql shows {rest!r}, want {until!r}")
        rest += os.read(terminal, 65536)
    rest = rest.partition(until)[2]


read(b"=# ")
for typed, expected in CASES:
    os.write(terminal, typed.encode() + b"\t")
    read(expected.encode())
    os.write(terminal, b"\x15\\echo next\n")  # Ctrl-U drops the line
    read(b"\r\nnext\r\n")
    read(b"=# ")
os.write(terminal, b"\\q\n")
os.waitpid(pid, 0)
print("ok")
