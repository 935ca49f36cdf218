"""Asks one query again and again over one connection: URL, SQL, argument ("" asks in the simple protocol, with psycopg2, else a prepared
statement, with psycopg 3), value, seconds."""
import sys
import time

url, sql, arg, value, seconds = sys.argv[1:]
if arg:
    import psycopg as driver
else:
    import psycopg2 as driver

conn = driver.connect(url)
conn.autocommit = True
cur = conn.cursor()


def ask():
    if arg:
        cur.execute(sql, (arg,), prepare=True)
    else:
        cur.execute(sql)
    return cur.fetchone()[0]


def rate(seconds):
    n, began = 0, time.perf_counter()
    while True:
        elapsed = time.perf_counter() - began
        if elapsed >= seconds:
            return n / elapsed
        for _ in range(50):
            ask()
        n += 50


if str(ask()) != value:
    raise SystemExit(f"{ask()} is not {value}")
rate(min(1, float(seconds)))
print(rate(float(seconds)))
