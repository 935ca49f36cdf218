// Package exec runs plans. On a shard a Run answers a plan.Fragment over one storage snapshot; at the coordinator the partial
// answers of all shards are merged and the nodes of the plan turn them into rows.
//
//	run, err := exec.OpenRun(snapshot, fragment, exec.Options{Parallel: 2})
//	first, err := run.First(ctx)                // groups, and cells or margins of the tests
//	second, err := run.Second(ctx, totals)      // in mode margins: one exact accumulator a statistic
//	run.Close()
//
// A fragment is evaluated on dictionary codes. Each filter and each key looks at one column, so it is computed once for every
// value of the column's dictionary; a cell costs a few array look-ups and an addition. Segments are scanned by parallel
// goroutines, each with its own accumulators, which are added up at the end; everything added is an integer, so the order does
// not show. Values appear only at the edge: a partial names each distinct code's value once.
package exec
