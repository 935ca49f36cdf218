package meta

import "testing"

func TestListSessions(t *testing.T) {
	v := emptyView()
	if got := v.ListSessions(10); got != nil {
		t.Errorf("an empty view lists %v", got)
	}
	for _, id := range []uint64{300, 2, 700} {
		v.sessions.load(Session{ID: id, Principal: "p"})
	}
	got := v.ListSessions(2)
	if len(got) != 2 || got[0].ID != 2 || got[1].ID != 300 {
		t.Errorf("the first two of 2, 300 and 700 are %v", got)
	}
}
