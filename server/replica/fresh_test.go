package replica

import (
	"testing"
	"testing/synctest"
	"time"
)

// A follower is as old as its leader's last word only if that leader knew all that was acknowledged before it, and as its last entry otherwise.
func TestAgeOfAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := time.Now()
		time.Sleep(time.Second)
		for _, c := range []struct {
			name        string
			told        time.Time
			ofTerm, all bool
			want        time.Duration
		}{
			{"nobody has said anything since the start", time.Time{}, true, true, 9 * time.Second},
			{"all that is committed", told, true, true, time.Second},
			{"some of it", told, true, false, 9 * time.Second},
			{"all that a new leader knew before its first entry", told, false, true, 9 * time.Second},
		} {
			if got := age(c.told, 9*time.Second, c.ofTerm, c.all); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	})
}

// A stamp beyond the own clock says that a clock is or was wrong, and not that the state is new.
func TestAgeByStamp(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for _, c := range []struct{ ahead, want time.Duration }{
		{-3 * time.Second, 3 * time.Second},
		{0, 0},
		{skewMax, 0},
		{skewMax + time.Millisecond, aheadMax * time.Millisecond},
		{aheadMax * time.Millisecond, aheadMax * time.Millisecond},
		{time.Hour, ageUnknown},
	} {
		if got := byStamp(now, now.Add(c.ahead)); got != c.want {
			t.Errorf("%v ahead: %v, want %v", c.ahead, got, c.want)
		}
	}
}

// A leader that is cut off and does not know it yet is as old as the last answers of a majority, and a follower as the last word that came.
func TestAgeGrowsBehindACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{Timeout: 4 * time.Second})
		defer g.stopAll()
		if f := g.hosts["a"].r.Fresh(); !f.Leads || f.Age != 0 {
			t.Errorf("the only voter: %+v", f)
		}
		g.grow("a", "b", "c")
		g.mustWrite("a", 0, 5)
		g.waitEqual("a", "b", "c")
		time.Sleep(time.Second)
		const fresh = 100 * time.Millisecond
		for _, id := range []string{"a", "b", "c"} {
			if f := g.hosts[id].r.Fresh(); f.Age > fresh {
				t.Errorf("%s, with nothing cut: %+v", id, f)
			}
		}
		g.net.Isolate("a")
		const cut = time.Second // less than half a timeout
		time.Sleep(cut)
		for _, id := range []string{"a", "b", "c"} {
			if f := g.hosts[id].r.Fresh(); f.Leads != (id == "a") || f.Age < cut-fresh/10 || f.Age > cut+fresh {
				t.Errorf("%s, a second after the leader was cut off: %+v", id, f)
			}
		}
		g.net.Heal("a")
	})
}
