// Package acceptance holds Quipu's parser to PostgreSQL's own: the grammar of libpg_query, which is PostgreSQL's source, says what a
// statement is and what it means. It is a module of its own, so that the parser of PostgreSQL is a dependency of this test and of nothing
// else. From the root of the repository:
//
//	go test -C query/sql/acceptance ./...
package acceptance
