package stats

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
)

// grid reads the rows of a function grid: columns are numbers or decimal strings.
func gridRows(t *testing.T, name string) [][]float64 {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Rows [][]any }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	rows := make([][]float64, len(doc.Rows))
	for i, row := range doc.Rows {
		for _, cell := range row {
			rows[i] = append(rows[i], gridNumber(t, cell))
		}
	}
	return rows
}

func gridNumber(t *testing.T, cell any) float64 {
	t.Helper()
	switch v := cell.(type) {
	case float64:
		return v
	case string:
		x, err := strconv.ParseFloat(v, 64)
		if err != nil && !math.IsInf(x, 0) && x != 0 {
			t.Fatal(err)
		}
		return x
	}
	t.Fatalf("neither number nor string: %v", cell)
	return 0
}

// relErr is |got − want| / |want|, and 0 where both are equal.
func relErr(got, want float64) float64 {
	if got == want {
		return 0
	}
	return math.Abs(got-want) / math.Abs(want)
}

// wantClose fails unless got is within rel of want.
func wantClose(t *testing.T, what string, got, want, rel float64) {
	t.Helper()
	if !(relErr(got, want) <= rel) {
		t.Errorf("%s = %.17g, want %.17g (relative error %.2g, allowed %.2g)", what, got, want, relErr(got, want), rel)
	}
}

// wantP fails unless a probability is right: to 1e-10 where it is representable, else zero or subnormal.
func wantP(t *testing.T, what string, got, want float64) {
	t.Helper()
	if want < 1e-300 {
		if got > 1e-299 {
			t.Errorf("%s = %g, want %g", what, got, want)
		}
		return
	}
	wantClose(t, what, got, want, 1e-10)
}

// wantLn fails unless the logarithm of a probability is right: to 1e-12, absolute below 1.
func wantLn(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12*math.Max(1, math.Abs(want)) && got != want {
		t.Errorf("%s = %.17g, want %.17g", what, got, want)
	}
}

func TestChiSquareGrid(t *testing.T) {
	worst := [4]float64{}
	for _, row := range gridRows(t, "special_chi2") {
		df, x := row[0], row[1]
		at := strconv.FormatFloat(df, 'g', -1, 64) + ", " + strconv.FormatFloat(x, 'g', -1, 64)
		got := [4]float64{ChiSquareSurvival(x, df), LnChiSquareSurvival(x, df), ChiSquareCDF(x, df), LnChiSquareCDF(x, df)}
		wantP(t, "sf "+at, got[0], row[2])
		wantLn(t, "ln sf "+at, got[1], row[3])
		wantP(t, "cdf "+at, got[2], row[4])
		wantLn(t, "ln cdf "+at, got[3], row[5])
		for i := range got {
			if math.Abs(row[2+i]) > 1e-300 {
				worst[i] = math.Max(worst[i], relErr(got[i], row[2+i]))
			}
		}
	}
	t.Logf("worst relative errors: sf %.2g, ln sf %.2g, cdf %.2g, ln cdf %.2g", worst[0], worst[1], worst[2], worst[3])
}

func TestChiSquareCriticalGrid(t *testing.T) {
	worst := 0.0
	for _, row := range gridRows(t, "special_chi2_isf") {
		got := ChiSquareCritical(row[1], row[0])
		worst = math.Max(worst, relErr(got, row[2]))
		wantClose(t, "critical "+strconv.FormatFloat(row[1], 'g', -1, 64)+", "+strconv.FormatFloat(row[0], 'g', -1, 64), got, row[2], 1e-12)
		wantClose(t, "critical by ln", ChiSquareCriticalLn(math.Log(row[1]), row[0]), row[2], 1e-11)
	}
	t.Logf("worst relative error: %.2g", worst)
}

func TestNormalGrid(t *testing.T) {
	worst := 0.0
	for _, row := range gridRows(t, "special_normal") {
		z := row[0]
		wantP(t, "sf", NormalSurvival(z), row[1])
		wantLn(t, "ln sf", LnNormalSurvival(z), row[2])
		if row[1] > 1e-300 {
			worst = math.Max(worst, relErr(NormalSurvival(z), row[1]))
			wantClose(t, "cdf side", 1-NormalSurvival(-z), row[1], 1e-10+1.2e-16/row[1])
		}
		p, ln := NormalTwoSided(-z)
		wantLn(t, "ln two-sided", ln, math.Min(0, row[2]+math.Ln2))
		wantP(t, "two-sided", p, 2*row[1])
		if row[1] > 1e-300 {
			wantClose(t, "quantile", -NormalQuantile(row[1])+1, z+1, 1e-13)
		}
	}
	t.Logf("worst relative error: %.2g", worst)
}
