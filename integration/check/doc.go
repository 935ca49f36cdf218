// Package check decides from what clients did and saw whether a cluster kept its promises.
//
// A workload adds positive numbers to counters and reads them. Each writer has one cell of its own on every shard that it writes to and has
// one add outstanding; each add counts its delta twice in one part, in the writer's cell and in a cell that all writers of the shard share.
// The deltas of a writer on a shard have distinct partial sums, so the value of its cell says which of its adds a read has seen: the first
// seven, and no other. A read therefore shows exactly what it contains, without help of the system under test and without search:
//
//	rec := check.NewRecorder(4)                     // shards
//	w := rec.Writer(0)                              // of client 0
//	p := w.Add(delta, shard)                        // before the request leaves
//	p.Acked()                                       // after its answer came; or Refused, or Unknown
//	r := rec.Read(0, check.Strict)
//	r.Returned(check.View{Shard: 1, Cells: cells, Sum: shared})
//	err := check.Verify(rec.History())              // nil, or every anomaly in words
//
// Adds commute, and that makes the exact question cheap. Which histories of single adds and reads of many counters are strictly serializable
// is NP-complete in general; here it is the absence of a cycle in a graph with a handful of edges an operation (see Ledger.Graph).
//
// Four checkers look at a history from different sides:
//
//	Bounds   sums only: each lies between what was acknowledged before the read and what was asked for by its end. Sound, not complete:
//	         a fractured snapshot passes. Serves where nothing but a sum can be read. O((n+m) log n).
//	Strict   reads of all shards, exact: five rules that name what is wrong. O((n + m·c) log n), c = writers × shards.
//	Graph    reads of any shards in any mix, exact: legal iff the graph has no cycle; shows the shortest one. O((n+m) log(n+m) + m·c).
//	Levels   the weaker reads, each against its own promise: prefixes of one log per shard, own writes, honest age. O((n + m·c) log n).
//
// n counts adds, m reads. A verdict of the exact ones is about what was returned and nothing else: a history passes iff some order of its
// operations, each within its own interval, gives every read the values that it returned.
//
// What needs search (records, leases, counters whose adds return the value) is in the package model.
package check
