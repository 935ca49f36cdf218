CREATE TABLE clients (a text, b int8);
BEGIN;
INSERT INTO clients VALUES ('x', 1), ('y', 2);
COMMIT;
BEGIN;
INSERT INTO clients VALUES ('lost', 3);
\copy clients (a, b) FROM STDIN CSV
stays,4
\.
ROLLBACK;
SELECT a, b, count FROM clients ORDER BY b;
\copy (SELECT a, b FROM clients ORDER BY b) TO STDOUT CSV HEADER
SELECT a, nope FROM clients;
BEGIN READ ONLY;
INSERT INTO clients VALUES ('lost', 3);
ROLLBACK;
