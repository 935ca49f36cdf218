package query

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/storage/schema"
)

// Freshness is how much a stale read may lack, shard by shard, and what that means for its tests.
type Freshness struct {
	Shards  []ShardFreshness // those that were read, in order
	Missing []schema.ShardID // those of which no replica could be reached: none of their counts are in the result
	Verdict Verdict
}

// ShardFreshness is the state of one replica that served a stale read.
type ShardFreshness struct {
	Shard   schema.ShardID
	Node    string
	Index   uint64        // log index of the state
	Lag     uint64        // entries that the replica knows to be committed and that are not in the state
	Age     time.Duration // how long ago the state held everything committed, as far as the replica knows
	Rate    float64       // observations a second, at the most within the last hour
	Entries []uint64      // log entries that each voter applied within the last 12 heartbeats, as last known here
}

// alpha is the level of significance that verdicts are about.
const alpha = 0.05

// ageMax is the age beyond which a shard of so many voters is not trusted: 800 ms for three, 1.2 s for five.
func ageMax(voters int) time.Duration { return time.Duration(voters+1) * 200 * time.Millisecond }

// critical is the value that X² of the voters' progress must not exceed: 5.99 for three voters, 9.49 for five, as tables print them.
func critical(voters int) float64 {
	if voters < 2 {
		return math.Inf(1)
	}
	return math.Round(100*stats.ChiSquareCritical(alpha, float64(voters-1))) / 100
}

// Evenness is X² of what the voters have applied against what they have on the average: of voters that keep up with each other it is small.
func (s *ShardFreshness) Evenness() (x2 float64) {
	sum := 0.0
	for _, n := range s.Entries {
		sum += float64(n)
	}
	if sum == 0 {
		return 0
	}
	mean := sum / float64(len(s.Entries))
	for _, n := range s.Entries {
		d := float64(n) - mean
		x2 += d * d / mean
	}
	return x2
}

// Shut says why the confidence gate is shut for a shard, or nothing: its state is too old, or its voters have not kept up with each other.
func (s *ShardFreshness) Shut() string {
	voters := max(1, len(s.Entries))
	if most := ageMax(voters); s.Age > most {
		return fmt.Sprintf("its state is %v old, of %d voters at most %v are taken", s.Age.Round(time.Millisecond), voters, most)
	}
	if x2, most := s.Evenness(), critical(voters); x2 > most {
		return fmt.Sprintf("its %d voters have applied %v entries within 12 heartbeats, X² = %.2f above %.2f", voters, s.Entries, x2, most)
	}
	return ""
}

// MissingMax is how many observations may be missing at the most: the age of each shard times its peak rate of the last hour. It is
// infinite where a whole shard is missing.
func (f *Freshness) MissingMax() float64 {
	if len(f.Missing) > 0 {
		return math.Inf(1)
	}
	sum := 0.0
	for _, s := range f.Shards {
		sum += math.Ceil(s.Age.Seconds() * s.Rate)
	}
	return sum
}

// Age is that of the oldest shard read.
func (f *Freshness) Age() (most time.Duration) {
	for _, s := range f.Shards {
		most = max(most, s.Age)
	}
	return most
}

// Verdict counts tests whose verdict at the level 0.05 could be another one with the observations that may be missing.
type Verdict struct {
	Tests   int
	Unsure  int
	FlipMin int64 // the least number of observations that could change the verdict of one of the tests; 0: for one of them it is not known
}

// tested takes in the result of a test.
func (f *Freshness) tested(a *plan.Aggregate, record []plan.Value) {
	flip := int64(0)
	if statistic, df, least, ok := a.ChiSquare(record); ok {
		flip = stats.FlipMin(statistic, df, least, alpha)
	}
	if missing := f.MissingMax(); missing > 0 && missing >= float64(flip) {
		f.Verdict.Unsure++
	}
	if f.Verdict.Tests++; f.Verdict.Tests == 1 || flip < f.Verdict.FlipMin {
		f.Verdict.FlipMin = flip
	}
}

// notices say beside a result what its footing is.
func (f *Freshness) notices() []Notice {
	var out []Notice
	if len(f.Missing) > 0 {
		out = append(out, Notice{Severity: "WARNING", Message: fmt.Sprintf("stale_read: no replica of shards %v can be reached, and none of their counts are in the result", f.Missing),
			Hint: "run the query again when their nodes are back"})
	}
	if hint := f.hint(); hint != "" {
		out = append(out, Notice{Severity: "NOTICE", Message: "stale_read: freshness_hint: " + hint})
	}
	for i := range f.Shards {
		if why := f.Shards[i].Shut(); why != "" {
			out = append(out, Notice{Severity: "WARNING", Message: fmt.Sprintf("stale_read: the confidence gate is shut for shard %d: %s", f.Shards[i].Shard, why)})
		}
	}
	if v := f.Verdict; v.Unsure > 0 {
		out = append(out, Notice{Severity: "WARNING", Message: fmt.Sprintf("stale_read: verdict unsure for %d of %d tests: missing_max = %s, flip_min = %s",
			v.Unsure, v.Tests, countText(f.MissingMax()), flipText(v.FlipMin)),
			Hint: fmt.Sprintf("with the observations that may be missing p could lie on the other side of %g; read strictly to be sure", alpha)})
	}
	return out
}

func countText(n float64) string {
	if math.IsInf(n, 1) {
		return "unknown"
	}
	return fmt.Sprintf("%.0f", n)
}

func flipText(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// hint is the age and the lag of each shard.
func (f *Freshness) hint() string {
	parts := make([]string, len(f.Shards))
	for i, s := range f.Shards {
		parts[i] = fmt.Sprintf("shard %d age %v lag %d", s.Shard, s.Age.Round(time.Millisecond), s.Lag)
	}
	return strings.Join(parts, ", ")
}
