package meta

import (
	"cmp"
	"slices"
)

// ListSessions are the sessions that live, the oldest first, at most limit of them.
func (v *View) ListSessions(limit int) []Session {
	var out []Session
	if v.sessions.buckets != nil {
		for _, b := range v.sessions.buckets {
			for _, s := range b { // sorted below
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return out[:min(limit, len(out))]
}
