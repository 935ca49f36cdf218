// Package differential makes random statements that Quipu and PostgreSQL must answer alike, and compares the answers.
//
//	g := differential.New(7)                // the same seed makes the same statements
//	world := g.World()                      // tables, and how to make them in both
//	s := g.Statement(world)                 // one statement, with the productions that it is made of
//	err := differential.Compare(s, quipu, postgres)
//
// A statement is a tree of the grammar's productions, so that it can be counted by them and shrunk when the answers differ.
// The alternatives leave out where the two differ on purpose: numeric is float8, int4 is int8, date is timestamptz.
package differential

import (
	"slices"
	"strings"
)

// node is a piece of a statement: an application of one production.
type node struct {
	production string // "" for pieces that are not counted
	typ        kind   // of an expression; noKind for the rest
	parts      []any  // string or *node
	optional   bool   // the statement stays whole without it
}

// n makes a node; parts are strings and nodes.
func n(production string, typ kind, parts ...any) *node {
	return &node{production: production, typ: typ, parts: parts}
}

// clause is a piece that may be left out.
func clause(production string, parts ...any) *node {
	return &node{production: production, parts: parts, optional: true}
}

// String is the text of the statement.
func (x *node) String() string {
	var b strings.Builder
	x.write(&b)
	return b.String()
}

func (x *node) write(b *strings.Builder) {
	for _, p := range x.parts {
		switch p := p.(type) {
		case string:
			b.WriteString(p)
		case *node:
			if p != nil {
				p.write(b)
			}
		}
	}
}

// walk calls visit for x and all below it.
func (x *node) walk(visit func(*node)) {
	if x == nil {
		return
	}
	visit(x)
	for _, p := range x.parts {
		if c, ok := p.(*node); ok {
			c.walk(visit)
		}
	}
}

// list puts sep between nodes.
func list(sep string, items ...*node) *node {
	out := &node{}
	for i, x := range items {
		if i > 0 {
			out.parts = append(out.parts, sep)
		}
		out.parts = append(out.parts, x)
	}
	return out
}

// Shrink gives the smallest statement that it finds for which differs still holds. It leaves out what is optional and puts
// parts of an expression, or a literal, in the place of the whole; it asks at most tries times.
func Shrink(s *Statement, tries int, differs func(*Statement) bool) *Statement {
	best := s
	ask := func(root *node) bool {
		if tries--; tries < 0 {
			return false
		}
		c := *best
		c.root = root
		if !differs(&c) {
			return false
		}
		best = &c
		return true
	}
	for again := true; again && tries > 0; {
		again = false
		for _, cut := range cuts(best.root) {
			if tries <= 0 {
				break
			}
			if ask(cut) {
				again = true
				break
			}
		}
	}
	return best
}

// cuts are the trees that are one step smaller than root, those that lose most first.
func cuts(root *node) []*node {
	type change struct {
		old, by *node
		size    int
	}
	var changes []change
	root.walk(func(x *node) {
		if x.optional {
			changes = append(changes, change{x, &node{}, len(x.String())})
		}
		if x.typ == noKind {
			return
		}
		size := len(x.String())
		if l := plainest(x.typ); l.String() != x.String() && size > 4 {
			changes = append(changes, change{x, l, size - len(l.String())})
		}
		x.walk(func(y *node) {
			if y != x && y.typ == x.typ {
				changes = append(changes, change{x, y, size - len(y.String())})
			}
		})
	})
	slices.SortStableFunc(changes, func(a, b change) int { return b.size - a.size })
	out := make([]*node, 0, len(changes))
	for _, c := range changes {
		if c.size > 0 {
			out = append(out, root.replace(c.old, c.by))
		}
	}
	return out
}

// replace is x with old replaced by another node.
func (x *node) replace(old, by *node) *node {
	if x == old {
		return by
	}
	c := *x
	c.parts = slices.Clone(x.parts)
	for i, p := range c.parts {
		if child, ok := p.(*node); ok && child != nil {
			c.parts[i] = child.replace(old, by)
		}
	}
	return &c
}
