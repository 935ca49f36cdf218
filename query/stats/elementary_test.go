package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// ulps is the distance of two floats in units in the last place of want.
func ulps(got, want float64) float64 {
	if got == want || got != got && want != want {
		return 0
	}
	_, e := math.Frexp(want)
	return math.Abs(got-want) / math.Ldexp(1, max(e-53, -1074))
}

// The standard library's functions are within 1 ulp, so a bound of n here means n+1 against the truth at most.
func TestElementaryAgainstStandardLibrary(t *testing.T) {
	cases := []struct {
		name      string
		ours, std func(float64) float64
		draw      func(r *rand.Rand) float64
		bound     float64
	}{
		{"log", log, math.Log, func(r *rand.Rand) float64 { return math.Exp(1400*r.Float64() - 700) }, 1},
		{"log near 1", log, math.Log, func(r *rand.Rand) float64 { return 0.5 + r.Float64() }, 1},
		{"log1p", log1p, math.Log1p, func(r *rand.Rand) float64 { return math.Exp(80*r.Float64()-40) - 1e-9 }, 2},
		{"log1p below 0", log1p, math.Log1p, func(r *rand.Rand) float64 { return -r.Float64() }, 2},
		{"exp", exp, math.Exp, func(r *rand.Rand) float64 { return 1400*r.Float64() - 700 }, 2},
		{"exp subnormal", exp, math.Exp, func(r *rand.Rand) float64 { return -700 - 46*r.Float64() }, 2},
		{"expm1", expm1, math.Expm1, func(r *rand.Rand) float64 { return 4*r.Float64() - 2 }, 5},
		{"expm1 tiny", expm1, math.Expm1, func(r *rand.Rand) float64 { return math.Exp(-100 * r.Float64()) }, 5},
		{"erfc", erfc, math.Erfc, func(r *rand.Rand) float64 { return 27*r.Float64() - 2 }, 6},
		{"lgamma", lgamma, func(x float64) float64 { y, _ := math.Lgamma(x); return y },
			func(r *rand.Rand) float64 { return 3 + math.Exp(40*r.Float64()) }, 16},
	}
	for _, c := range cases {
		r := rand.New(rand.NewPCG(1, 2))
		worst, at := 0.0, 0.0
		for range 200_000 {
			x := c.draw(r)
			if d := ulps(c.ours(x), c.std(x)); d > worst {
				worst, at = d, x
			}
		}
		if worst > c.bound {
			t.Errorf("%s: %.2f ulp at %v: %v, standard library %v", c.name, worst, at, c.ours(at), c.std(at))
		}
		t.Logf("%s: at most %.2f ulp apart", c.name, worst)
	}
}

func TestElementarySpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	cases := []struct {
		name      string
		got, want float64
	}{
		{"log 0", log(0), -inf}, {"log -1", log(-1), nan}, {"log inf", log(inf), inf}, {"log 1", log(1), 0},
		{"log subnormal", log(5e-324), -744.4400719213812},
		{"log1p -1", log1p(-1), -inf}, {"log1p -2", log1p(-2), nan}, {"log1p inf", log1p(inf), inf}, {"log1p 0", log1p(0), 0},
		{"log1p 1e300", log1p(1e300), math.Log(1e300)},
		{"exp -inf", exp(-inf), 0}, {"exp inf", exp(inf), inf}, {"exp 0", exp(0), 1}, {"exp 709.78", exp(709.78), 1.7928227943945155e308},
		{"exp nan", exp(nan), nan}, {"expm1 0", expm1(0), 0}, {"expm1 -inf", expm1(-inf), -1},
		{"erfcx 0", erfcx(0), 1}, {"erfcx inf", erfcx(inf), 0}, {"erfcx 1e9", erfcx(1e9), 5.6418958354775629e-10},
		{"erfcx -1", erfcx(-1), 5.0089800807622834663}, {"erfcx 1", erfcx(1), 0.42758357615580700441},
		{"erfcx 30", erfcx(30), 0.018795888861416751134},
		{"lnErfc 0.3", lnErfc(0.3), -0.3984300514400852726}, {"lnErfc 100", lnErfc(100), -10005.177585122664333},
		{"lnErfc -3", lnErfc(-3), 0.69313613525044681032},
		{"lgamma 1", lgamma(1), 0}, {"lgamma 2", lgamma(2), 0}, {"lgamma 0", lgamma(0), inf}, {"lgamma .5", lgamma(0.5), lnPi / 2},
		{"lgamma inf", lgamma(inf), inf},
		{"logAdd", logAdd(math.Log(2), math.Log(3)), math.Log(5)}, {"logAdd -inf", logAdd(-inf, -inf), -inf},
		{"log1mexp", log1mexp(-1e-20), math.Log(1e-20)}, {"log1mexp far", log1mexp(-50), -math.Exp(-50)},
		{"log1pmx .001", log1pmx(0.001), -4.996669164668332114e-7}, {"log1pmx -.3", log1pmx(-0.3), -0.056674943938732379},
		{"log1pmx .5", log1pmx(0.5), -0.094534891891835618}, {"log1pmx 3", log1pmx(3), math.Log(4) - 3},
		{"log1pmx -1", log1pmx(-1), -inf},
		{"stirling 1", stirlingError(1), 0.081061466795327258220}, {"stirling .5", stirlingError(0.5), 0.15342640972002734529},
		{"stirling 1e6", stirlingError(1e6), 8.3333333333330555556e-08},
	}
	for _, c := range cases {
		if ulps(c.got, c.want) > 8 {
			t.Errorf("%s = %.17g, want %.17g", c.name, c.got, c.want)
		}
	}
}
