// Package plan turns the tree of a statement into what is to be done: it binds names to the catalog, checks and folds
// expressions, and cuts a SELECT into fragments, which run on the shards, and nodes, which run at the coordinator.
//
//	b := plan.NewBinder(plan.Context{Text: text, Catalog: view, Now: now, Args: args})
//	q, err := b.Query(stmt.(*sql.Query))
//	fmt.Println(plan.Explain(q, plan.Shown{}))
//
// A SELECT over one table becomes a Fragment wherever its filters, group keys and aggregates allow it: each filter and
// each key looks at one column, so that a shard evaluates it once per dictionary value and never per cell. What does not
// fit runs as nodes over the rows of cells. Both give the same rows.
//
// Values, types, functions and bound expressions live here too, because constants are folded while binding and the same
// expressions travel inside fragments.
package plan
