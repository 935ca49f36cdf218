-- The shell without a terminal, over the API and over PostgreSQL's protocol: the same text on both. What it prints is in session.out.
CREATE TABLE admissions (dept text, gender text, admitted text) WITH (partition_by = 'dept');
CREATE TABLE "Visits" (level text ORDER ('low', 'high') NOT NULL DEFAULT 'low', ok bool, n int8) WITH (window = '1h', retention = '90d', partition_by = '');
INSERT INTO admissions (dept, gender, admitted, count) VALUES
  ('A', 'male', 'yes', 512), ('A', 'male', 'no', 313), ('A', 'female', 'yes', 89), ('A', 'female', 'no', 19),
  ('B', 'male', 'yes', 353), ('B', 'male', 'no', 207), ('B', 'female', 'yes', 17), ('B', 'female', 'no', 8);
\d
\d admissions
\d "Visits"
\dt quipu.*
\df chi2_test
\dconfig quipu.read*
\dt vis*
\echo '-- tables, NULL, types'
SELECT 1 AS i, 0.1 AS f, 'é' AS t, NULL AS n, true AS b, timestamptz '2026-01-02 03:04:05.5Z' AS at;
\pset null (null)
SELECT 1 AS a, NULL AS b \g
\gx
\x
SELECT dept, chi2_test(gender, admitted) FROM admissions GROUP BY dept ORDER BY dept;
\x auto
SELECT 1 AS a; SELECT 2 AS b; -- two on a line; and a comment
\x off
\echo '-- notices'
SELECT chi2_test(gender, admitted) FROM admissions WHERE dept = 'B' AND gender = 'male';
\echo '-- the picture'
\plot admissions gender admitted
\plot admissions gender admitted WHERE dept = 'B'
SELECT * FROM crosstab('admissions', 'dept', 'admitted') \plot
\echo '-- formats'
\format csv
SELECT dept, sum(count) FROM admissions GROUP BY dept ORDER BY dept;
\format ndjson
\g
\format json
SELECT 'a' AS x \g
\format table
\echo '-- settings hold'
SET statement_timeout = '5s';
SHOW statement_timeout;
RESET statement_timeout;
SHOW statement_timeout;
\echo '-- copy'
\copy admissions (dept, gender, admitted, count) FROM STDIN CSV
C,male,yes,120
C,male,no,205
\.
\copy (SELECT dept, gender, sum(count) FROM admissions WHERE dept = 'C' GROUP BY 1, 2 ORDER BY 1, 2) TO STDOUT CSV HEADER
SELECT E'a backslash \\q and a quote \' in a string; so' AS t, ';' AS s /* ; */;
\p
COPY admissions TO STDOUT;
