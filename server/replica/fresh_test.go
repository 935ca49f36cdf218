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
