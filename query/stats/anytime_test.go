package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestMonitorAgreesWithMultinomialE(t *testing.T) {
	shares := mustShares(t, 0.2, 0.3, 0.5)
	m, err := NewMonitor(shares)
	if err != nil {
		t.Fatal(err)
	}
	r, counts := rand.New(rand.NewPCG(3, 4)), make([]int64, 3)
	highest := 0.0
	for range 500 {
		i := r.IntN(3)
		counts[i]++
		if err := m.Observe(i); err != nil {
			t.Fatal(err)
		}
		highest = math.Max(highest, m.EValue().LnE())
	}
	c, _ := NewCounts(counts)
	e, err := MultinomialE(c, shares)
	if err != nil || math.Abs(e.LnE()-m.EValue().LnE()) > 1e-10 || e.N != m.EValue().N ||
		!near(m.EValue().MinExpected, e.MinExpected, 1e-14) || e.Cols != 3 {
		t.Errorf("%+v in one step, %+v in 500, %v", e, m.EValue(), err)
	}
	wantClose(t, "P", m.P(), math.Exp(-highest), 1e-12)
}

const (
	looks        = 100
	experiments  = 1000
	perLook      = 10
	simulatedFor = 0.05
)

// falseAlarms counts how many of the experiments, in which the null is true, reject at any of 100 looks.
func falseAlarms(run func(r *rand.Rand) bool) int {
	alarms := 0
	for i := range uint64(experiments) {
		if run(rand.New(rand.NewPCG(i, 99))) {
			alarms++
		}
	}
	return alarms
}

// The bound is α with three standard errors of the simulation.
const alarmsMax = experiments*simulatedFor + 3*7

func TestFalseAlarmsOfMonitor(t *testing.T) {
	alarms := falseAlarms(func(r *rand.Rand) bool {
		m, _ := NewMonitor(mustShares(t, 1, 1, 2))
		for range looks {
			for range perLook {
				_ = m.Observe([]int{0, 1, 2, 2}[r.IntN(4)])
			}
			if m.EValue().Rejects(simulatedFor) {
				return true
			}
		}
		return false
	})
	t.Logf("%d of %d", alarms, experiments)
	if alarms > alarmsMax {
		t.Errorf("%d false alarms in %d experiments of %d looks at α = %v", alarms, experiments, looks, simulatedFor)
	}
}

func TestFalseAlarmsOfTwoProportions(t *testing.T) {
	sequence, fixed := 0, 0
	alarms := falseAlarms(func(r *rand.Rand) bool {
		var a, b, c, d uint64
		rejected, missed, naive := false, false, false
		for range looks {
			for range perLook {
				hit, first := r.Float64() < 0.3, r.IntN(2) == 0
				switch {
				case first && hit:
					a++
				case first:
					b++
				case hit:
					c++
				default:
					d++
				}
			}
			f := fourfold(a, b, c, d)
			rejected = rejected || TwoProportionE(f).Rejects(simulatedFor)
			naive = naive || f.pearson() > 3.841
			m, err := RiskDifferenceSequence(f, 1-simulatedFor)
			missed = missed || err != nil || m.Low > 0 || m.High < 0
		}
		if missed {
			sequence++
		}
		if naive {
			fixed++
		}
		return rejected
	})
	t.Logf("%d of %d; sequences that miss: %d; a chi-square test at each look: %d", alarms, experiments, sequence, fixed)
	if alarms > alarmsMax || sequence > alarmsMax {
		t.Errorf("%d false alarms, %d intervals that miss", alarms, sequence)
	}
	if fixed < 2*alarmsMax {
		t.Errorf("the fixed-sample test raised only %d alarms: the simulation does not look often enough", fixed)
	}
}

func TestFalseAlarmsOfProportionSequence(t *testing.T) {
	alarms := falseAlarms(func(r *rand.Rand) bool {
		x, n := uint64(0), uint64(0)
		for range looks {
			for range perLook {
				n++
				if r.Float64() < 0.2 {
					x++
				}
			}
			if m, err := ProportionSequence(x, n, 1-simulatedFor); err != nil || m.Low > 0.2 || m.High < 0.2 {
				return true
			}
		}
		return false
	})
	if alarms > alarmsMax {
		t.Errorf("%d of %d sequences miss the truth", alarms, experiments)
	}
}

// There is power, too.
func TestEValuesFindEffects(t *testing.T) {
	if e := TwoProportionE(fourfold(250, 750, 400, 600)); !e.Rejects(0.001) || e.P > 0.001 {
		t.Errorf("%+v", e)
	}
	c, _ := NewCounts([]int64{821588, 815482})
	e, _ := MultinomialE(c, EqualShares(2))
	if twice := e.Combine(e); !twice.Rejects(0.001) || twice.N != 2*e.N {
		t.Errorf("%+v", e)
	}
}

func TestAnytimeEdges(t *testing.T) {
	empty, _ := NewCounts([]int64{0, 0})
	some, _ := NewCounts([]int64{1, 2})
	if e, err := MultinomialE(empty, EqualShares(2)); err != nil || e.LnE() != 0 || e.P != 1 {
		t.Error(e, err)
	}
	if e, err := MultinomialE(some, mustShares(t, 0, 1)); err != nil || !math.IsInf(e.LnE(), 1) || e.P != 0 || !e.Warnings.Has(ImpossibleCategory) {
		t.Error(e, err)
	}
	if e := TwoProportionE(Fourfold{}); e.LnE() != 0 {
		t.Error(e)
	}
	for _, shares := range []Shares{{}, EqualShares(1), mustShares(t, 1, 0)} {
		if _, err := NewMonitor(shares); !errors.Is(err, ErrArgument) {
			t.Error(shares, err)
		}
	}
	if _, err := MultinomialE(&Counts{}, Shares{}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := MultinomialE(some, EqualShares(1)); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	m, _ := NewMonitor(EqualShares(2))
	if err := m.Observe(2); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if s, err := ProportionSequence(0, 0, 0.95); err != nil || s.Low != 0 || s.High != 1 {
		t.Error(s, err)
	}
	for _, err := range []error{second(ProportionSequence(2, 1, 0.95)), second(ProportionSequence(1, 2, 1)),
		second(RiskDifferenceSequence(fourfold(1, 1, 1, 1), 0))} {
		if !errors.Is(err, ErrArgument) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
