CREATE TABLE visits (country text NOT NULL DEFAULT 'x', level text ORDER ('low', 'high'), age int8) WITH (window = '1h', retention = '90d', partition_by = 'country');
\d
\d visits
\d+ visits
\dt
\dt quipu.*
\dn
\df chi2*
\l
\du
\dv
\di
\dT
\dx
\db
\dd
\d nope
SELECT id, first_slot, last_slot FROM quipu.shards ORDER BY id;
SELECT shard, state FROM quipu.replicas ORDER BY shard;
