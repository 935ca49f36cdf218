package stats

import (
	"fmt"
	"math"
	"testing"
)

func TestBetaGrid(t *testing.T) {
	worst := 0.0
	for _, row := range gridRows(t, "special_beta") {
		at := fmt.Sprint(row[:3])
		p := newBetaPoint(row[0], row[1], row[2], row[3])
		tl := p.tails()
		// What the rounding of x alone does to the tail, in units of its logarithm.
		slack := 1e-12*math.Max(1, math.Abs(row[4])) + 3e-16*math.Abs(p.e)/p.y
		if d := math.Abs(tl.lnLower() - row[4]); d > slack {
			t.Errorf("ln lower %s = %.17g, want %.17g (off by %.2g)", at, tl.lnLower(), row[4], d)
		} else {
			worst = math.Max(worst, d/math.Max(1, math.Abs(row[4])))
		}
		if d := math.Abs(tl.lnUpper() - row[5]); d > slack {
			t.Errorf("ln upper %s = %.17g, want %.17g (off by %.2g)", at, tl.lnUpper(), row[5], d)
		}
		mirrored := p.flip().tails()
		wantLn(t, "mirrored "+at, mirrored.lnUpper(), tl.lnLower())
		x, y := betaQuantile(tl.lnLower(), false, row[0], row[1])
		wantClose(t, "quantile "+at, x, row[2], 1e-12)
		wantClose(t, "its complement "+at, y, row[3], 1e-12)
	}
	t.Logf("worst relative error of ln: %.2g", worst)
}
