package shell

import (
	"context"
	"slices"
	"strings"
	"time"
)

// vocabulary is what completion knows of the server's catalog.
type vocabulary struct {
	tables    []relation
	functions []string
	settings  []string
	roles     []string
	commands  []string // of the shell
}

// relation is a table, or a table of a schema other than public.
type relation struct {
	schema, name string
	columns      []string
}

// full is the name as a statement writes it.
func (r relation) full() string {
	if r.schema == "public" {
		return quotedName(r.name)
	}
	return r.schema + "." + r.name
}

// quotedName is a name, in double quotes if it needs them.
func quotedName(name string) string {
	plain := name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !isNamePart(r) || r >= 'A' && r <= 'Z' || r == '$' }) && (name[0] < '0' || name[0] > '9')
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// How long a vocabulary may be used, and how long asking for it may take: a person waits for it.
const (
	vocabularyAge  = 10 * time.Second
	vocabularyTime = time.Second
)

// words keeps a vocabulary while it is fresh.
type words struct {
	s     *Session
	have  vocabulary
	asked time.Time
}

// get asks the server if need be. Where it does not answer in time, and inside of a transaction, which an error would spoil, what is known
// serves.
func (w *words) get(ctx context.Context) vocabulary {
	if time.Since(w.asked) < vocabularyAge || w.s.Conn.State() != Idle {
		return w.have
	}
	w.asked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, vocabularyTime)
	defer cancel()
	if v, err := w.s.vocabulary(ctx); err == nil {
		w.have = v
	}
	w.have.commands = nil
	for _, c := range w.s.commands() {
		if c.Name != "" {
			w.have.commands = append(w.have.commands, c.Name)
		}
	}
	return w.have
}

// stale has the next get ask again.
func (w *words) stale() { w.asked = time.Time{} }

// vocabulary reads the catalog.
func (s *Session) vocabulary(ctx context.Context) (v vocabulary, err error) {
	columns, err := s.texts(ctx, "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ('public', 'quipu') ORDER BY table_schema, table_name, ordinal_position")
	if err != nil {
		return v, err
	}
	for _, c := range columns {
		if n := len(v.tables); n == 0 || v.tables[n-1].schema != c[0] || v.tables[n-1].name != c[1] {
			v.tables = append(v.tables, relation{schema: c[0], name: c[1]})
		}
		t := &v.tables[len(v.tables)-1]
		t.columns = append(t.columns, c[2])
	}
	for _, list := range []struct {
		into *[]string
		sql  string
	}{
		{&v.functions, "SELECT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'"},
		{&v.settings, "SELECT name FROM quipu.settings"},
		{&v.roles, "SELECT rolname FROM pg_catalog.pg_roles"},
	} {
		rows, err := s.texts(ctx, list.sql)
		if err != nil {
			continue // a role may not read everything
		}
		for _, r := range rows {
			*list.into = append(*list.into, r[0])
		}
		slices.Sort(*list.into)
		*list.into = slices.Compact(*list.into)
	}
	return v, nil
}
