package replica

import "testing"

func TestInstallsInARowAreNoticed(t *testing.T) {
	var i installs
	for n, step := range []struct {
		before, index uint64
		stuck         bool
	}{
		{0, 100, false},
		{100, 150, false},
		{170, 200, false}, // the log had gone on
		{200, 230, false},
		{230, 230, true},
		{230, 260, true},
		{261, 300, false},
	} {
		if got := i.note(step.before, step.index); got != step.stuck {
			t.Errorf("step %d: stuck is %v", n, got)
		}
	}
}
