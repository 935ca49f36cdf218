"""Reflects a table with SQLAlchemy's inspector, asks and writes through it, and fails at the first surprise."""
import sys
import warnings

try:
    import psycopg2  # noqa: F401
    import sqlalchemy as sa
except ImportError as e:
    print("missing:", e)
    sys.exit(77)
warnings.simplefilter("ignore")


def want(got, expected):
    if got != expected:
        raise SystemExit(f"got {got!r}, want {expected!r}")


engine = sa.create_engine("postgresql+psycopg2://" + sys.argv[1])
with engine.connect() as c:
    c.execute(sa.text("CREATE TABLE reflected (country text NOT NULL DEFAULT 'x', member bool, age int8) WITH (window = '1h')"))
inspector = sa.inspect(engine)
want(inspector.get_schema_names(), ["information_schema", "public", "quipu"])
want(inspector.get_table_names(), ["reflected"])
want("replicas" in inspector.get_table_names("quipu"), True)
want(inspector.get_view_names(), [])
want([(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns("reflected")], [
    ("country", "TEXT", False, "'x'::text"), ("member", "BOOLEAN", True, None), ("age", "BIGINT", True, None),
    ("ts", "TIMESTAMP", False, "now()"), ("count", "BIGINT", False, "1")])
want(inspector.get_pk_constraint("reflected")["constrained_columns"], [])
for nothing in (inspector.get_foreign_keys, inspector.get_indexes, inspector.get_unique_constraints, inspector.get_check_constraints):
    want(nothing("reflected"), [])
want(inspector.get_table_comment("reflected"), {"text": "windows of 01:00:00"})
want(inspector.get_enums(), [])
want((inspector.has_table("reflected"), inspector.has_table("nope")), (True, False))

table = sa.Table("reflected", sa.MetaData(), autoload_with=engine)
with engine.begin() as c:
    c.execute(table.insert(), [{"country": "de", "member": True, "age": 3}, {"country": "fr", "member": False, "age": 4}])
with engine.connect() as c:
    total = sa.func.sum(table.c["count"])
    want(c.execute(sa.select(table.c.country, total).where(table.c.age.in_([3, 4])).group_by(table.c.country).order_by(table.c.country)).all(),
         [("de", 1), ("fr", 1)])
    inner = sa.select(table.c.country).where(table.c.member).scalar_subquery()
    want(c.execute(sa.select(table.c.age).where(table.c.country == inner)).scalar(), 3)
print("ok")
