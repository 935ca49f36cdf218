package stats

import "math"

// gauss16 holds nodes and weights of the Gauss–Legendre rule with 16 points, for one half of [−1, 1].
var gauss16 = [8][2]float64{
	{0.9894009349916499326, 0.027152459411754094852},
	{0.94457502307323257608, 0.062253523938647892863},
	{0.86563120238783174388, 0.09515851168249278481},
	{0.7554044083550030339, 0.12462897125553387205},
	{0.61787624440264374845, 0.14959598881657673208},
	{0.45801677765722738634, 0.16915651939500253819},
	{0.28160355077925891323, 0.18260341504492358887},
	{0.095012509837637440185, 0.18945061045506849629},
}

// integrate adds up f over [0, end] in the given number of panels of 16 points.
func integrate(f func(float64) float64, end float64, panels int) float64 {
	half := end / float64(2*panels)
	sum := 0.0
	for k := panels - 1; k >= 0; k-- {
		mid := float64(half * float64(2*k+1))
		for _, node := range gauss16 {
			step := float64(half * node[0])
			sum += float64(node[1] * (f(mid-step) + f(mid+step)))
		}
	}
	return sum * half
}

// decayLength is the distance at which rate·s + curvature·s²/2 reaches depth, for rate ≥ 0 and curvature > 0: how far a
// tail that falls like the exponential of minus that has to be followed.
func decayLength(rate, curvature, depth float64) float64 {
	return 2 * depth / (rate + math.Sqrt(float64(rate*rate)+float64(2*curvature*depth)))
}
