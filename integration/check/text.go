package check

import (
	"fmt"
	"strings"
)

// String writes h as a timeline, one operation a line. It is meant for small histories; see Shrink.
//
//	shards 2 writers 2
//	add  w0 s0 +5 [1, 2] acked
//	read r0 [3, 4] strict s0: 5 0 sum 5; s1: 0 0 sum 0
func (h *History) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "shards %d writers %d\n", h.Shards, h.Writers)
	for i := range h.Adds {
		a := &h.Adds[i]
		fmt.Fprintf(&b, "add  w%d s%d +%d [%d, %s] %v\n", a.Writer, a.Shard, a.Delta, a.Call, moment(a.Return), a.Outcome)
	}
	for i := range h.Reads {
		r := &h.Reads[i]
		fmt.Fprintf(&b, "read r%d [%d, %d] %v", i, r.Call, r.Return, r.Level)
		if r.Age > 0 {
			fmt.Fprintf(&b, " age %d", r.Age)
		}
		for n, v := range r.Views {
			if n > 0 {
				b.WriteByte(';')
			}
			fmt.Fprintf(&b, " s%d:", v.Shard)
			for _, c := range v.Cells {
				fmt.Fprintf(&b, " %d", c)
			}
			fmt.Fprintf(&b, " sum %d", v.Sum)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// moment is a time, or a question mark for Never.
func moment(t int64) string {
	if t == Never {
		return "?"
	}
	return fmt.Sprint(t)
}
