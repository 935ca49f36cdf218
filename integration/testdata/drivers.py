"""Runs one session as a program of psycopg2 (argument "2") or psycopg 3 ("3") would, and fails at the first surprise."""
import io
import sys

which, dsn = sys.argv[1], sys.argv[2]
try:
    if which == "2":
        import psycopg2 as driver
        from psycopg2 import errors
    else:
        import psycopg as driver
        from psycopg import errors
except ImportError as e:
    print("missing:", e)
    sys.exit(77)


def want(got, expected):
    if got != expected:
        raise SystemExit(f"got {got!r}, want {expected!r}")


table = "clients" + which
conn = driver.connect(dsn + " options='-c statement_timeout=20s'")
conn.autocommit = True
cur = conn.cursor()
cur.execute("SHOW statement_timeout")
want(cur.fetchone()[0], "20s")
cur.execute(f"CREATE TABLE {table} (a text, b int8, c bool)")

# A block counts at COMMIT and nothing at ROLLBACK.
conn.autocommit = False
cur.execute(f"INSERT INTO {table} (a, b, c) VALUES (%s, %s, %s)", ("x", 1, True))
cur.executemany(f"INSERT INTO {table} (a, b, c) VALUES (%s, %s, %s)", [("y", 2, False), ("x", 1, True)])
conn.commit()
cur.execute(f"INSERT INTO {table} (a, b, c) VALUES ('lost', 1, true)")
conn.rollback()
conn.autocommit = True
rows = f"SELECT a, b, c, sum(count) FROM {table} GROUP BY a, b, c ORDER BY a"
cur.execute(rows)
want([(a, b, c, int(n)) for a, b, c, n in cur.fetchall()], [("x", 1, True, 2), ("y", 2, False, 1)])
cur.execute(f"SELECT a FROM {table} WHERE b = %s AND c = %s", (1, True))
want(cur.fetchall(), [("x",)])

# An error says what it is, and the session goes on.
try:
    cur.execute(f"SELECT nope FROM {table}")
    raise SystemExit("an unknown column was found")
except errors.UndefinedColumn as e:
    want(e.diag.sqlstate, "42703")
cur.execute("SELECT 1")
want(cur.fetchone(), (1,))

# COPY both ways, text and csv.
if which == "2":
    cur.copy_expert(f"COPY {table} (a, b) FROM STDIN", io.StringIO("tab\\there\t3\n\\N\t4\n"))
    out = io.StringIO()
    cur.copy_expert(f"COPY (SELECT a, b FROM {table} WHERE b >= 3 ORDER BY b) TO STDOUT CSV", out)
    want(out.getvalue(), "tab\there,3\n,4\n")
else:
    with cur.copy(f"COPY {table} (a, b) FROM STDIN") as copy:
        copy.write_row(("tab\there", 3))
        copy.write_row((None, 4))
    with cur.copy(f"COPY (SELECT a, b FROM {table} WHERE b >= 3 ORDER BY b) TO STDOUT CSV") as copy:
        want(b"".join(copy), b"tab\there,3\n,4\n")
    with cur.copy(f"COPY {table} (a, b, c) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "int8", "bool"])
        copy.write_row(("binary", 5, True))
    with cur.copy(f"COPY (SELECT a, b, c FROM {table} WHERE b = 5) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["text", "int8", "bool"])
        want(list(copy.rows()), [("binary", 5, True)])
    # Statements sent ahead of the answers; libpq keeps the row by row mode of a stream, so that this stands before it.
    with conn.pipeline():
        first = conn.execute("SELECT 1")
        second = conn.execute("SELECT %s::int8", (2,))
        want((first.fetchone(), second.fetchone()), ((1,), (2,)))
    # Results in binary, statements that the server keeps, and rows as they come.
    with conn.cursor(binary=True) as b:
        b.execute("SELECT 7::int8, 0.5::float8, 'z'::text, true, NULL::text", prepare=True)
        want(b.fetchone(), (7, 0.5, "z", True, None))
        want(list(b.stream(f"SELECT b FROM {table} ORDER BY b")), [(1,), (2,), (3,), (4,), (5,)])

# Cursors of the server: rows as they are asked for, forward only, until the end of the block.
conn.autocommit = False
with conn.cursor("big") as big:
    big.itersize = 100
    big.execute("SELECT n FROM generate_series(1, 1000) AS g(n) WHERE n > %s", (0,))
    want(sum(n for n, in big), 500500)
with conn.cursor("pieces") as pieces:
    pieces.execute("SELECT n, 'x' || n::text FROM generate_series(1, 100) AS g(n)")
    want(pieces.fetchone(), (1, "x1"))
    want([n for n, _ in pieces.fetchmany(3)], [2, 3, 4])
    pieces.scroll(5)
    want(pieces.fetchone()[0], 10)
    want(len(pieces.fetchall()), 90)
    want(pieces.fetchone(), None)
if which == "3":
    with conn.cursor("inbinary", binary=True) as b:
        b.execute("SELECT n, n::float8 / 4 FROM generate_series(1, 10) AS g(n)")
        want([d.type_code for d in b.description], [20, 701])
        want(b.fetchmany(2), [(1, 0.25), (2, 0.5)])
conn.commit()
for kind in ({"scrollable": True}, {"withhold": True}):
    try:
        with conn.cursor("refused", **kind) as c:
            c.execute("SELECT 1")
        raise SystemExit(f"a cursor {kind} was made")
    except errors.FeatureNotSupported as e:
        want(e.diag.sqlstate, "0A000")
    conn.rollback()
conn.close()
print("ok")
