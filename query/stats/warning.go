package stats

import (
	"fmt"
	"strings"
)

// WarningKind says which assumption of a test is in doubt, or which convention decided its result.
type WarningKind uint8

// The kinds of warning. Their numbers are stable: they may be stored and sent.
const (
	_                  WarningKind = iota
	ExpectedBelow5                 // the smallest expected count is below 5: the chi-square distribution is approximate there
	OneLevel                       // one row or one column is left, so nothing varies: statistic 0, df 0, p 1
	HugeCounts                     // n is above 2⁵³: at this size any trifle is significant, read the effect size
	ZeroCell                       // a count of zero makes the statistic infinite
	ImpossibleCategory             // something was observed where the given probability is 0: the statistic is infinite
	NoDegreesOfFreedom             // estimated parameters left no degree of freedom: p is 1
	ZeroVariance                   // the statistic cannot vary given the margins: statistic 0, p 1
	StrataSkipped                  // some strata say nothing (one observation, or a zero margin) and were left out
	NoDiscordantPairs              // not one pair differs: statistic 0, p 1
	NotConverged                   // the iteration stopped at its bound; the result holds to the precision it had reached
	SmallSample                    // too few observations for the asymptotic distribution; prefer the exact test
)

var warningText = [...]string{
	ExpectedBelow5: "min_expected<5", OneLevel: "one_level", HugeCounts: "n>2^53", ZeroCell: "zero_cell",
	ImpossibleCategory: "impossible_category", NoDegreesOfFreedom: "df<1", ZeroVariance: "zero_variance",
	StrataSkipped: "strata_skipped", NoDiscordantPairs: "no_discordant_pairs", NotConverged: "not_converged",
	SmallSample: "small_sample",
}

// String is the kind's text form, such as min_expected<5; it is stable.
func (k WarningKind) String() string {
	if int(k) < len(warningText) && k != 0 {
		return warningText[k]
	}
	return fmt.Sprintf("warning(%d)", uint8(k))
}

// Warning is a note to a result: the result stands, with a reservation.
type Warning struct {
	Kind WarningKind
	// Affected counts what the warning is about, out of Total: cells for ExpectedBelow5 and ZeroCell, strata for
	// StrataSkipped, categories for ImpossibleCategory. Both are 0 where nothing is counted.
	Affected, Total uint64
}

// String is the text form, such as "min_expected<5" or "min_expected<5 (3 of 12)".
func (w Warning) String() string {
	if w.Total == 0 {
		return w.Kind.String()
	}
	return fmt.Sprintf("%v (%d of %d)", w.Kind, w.Affected, w.Total)
}

// Warnings are the notes to one result, at most one of each kind, in the order of their kinds.
type Warnings []Warning

// Has reports whether a warning of this kind is among them.
func (ws Warnings) Has(k WarningKind) bool {
	for _, w := range ws {
		if w.Kind == k {
			return true
		}
	}
	return false
}

// String joins the kinds with commas, as SQL shows them: "min_expected<5,n>2^53". It is empty when there are none.
func (ws Warnings) String() string {
	kinds := make([]string, len(ws))
	for i, w := range ws {
		kinds[i] = w.Kind.String()
	}
	return strings.Join(kinds, ",")
}

// with adds a warning and keeps the order of kinds; a second one of the same kind replaces the first.
func (ws Warnings) with(w Warning) Warnings {
	for i := range ws {
		if ws[i].Kind == w.Kind {
			ws[i] = w
			return ws
		}
		if ws[i].Kind > w.Kind {
			ws = append(ws, Warning{})
			copy(ws[i+1:], ws[i:])
			ws[i] = w
			return ws
		}
	}
	return append(ws, w)
}
