package counter

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/fsmtest"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// TestScript runs testdata/exactly_once.txt. A step is commands, one a line:
//
//	add s5/1 s6/2^1 k9/1 : x,y +3 ; z,NULL -1     parts session/seq, or key/seq, ^ackUpTo; then cells of table 7
//	window s5 @0 : x,y +3                         the same for table 8 and the window so many hours from the start
//	dead upto=4 7-9                               ordinary sessions that have ended
//	clock by=1h | drop before=0h | restart | show
func TestScript(t *testing.T) {
	r := ready(t)
	now := int64(t0)
	fsmtest.Script(t, "testdata/exactly_once.txt", func(t *testing.T, step string) string {
		var out []string
		for line := range strings.Lines(step) {
			if s := r.line(t, strings.TrimSpace(line), &now); s != "" {
				out = append(out, s)
			}
		}
		return strings.Join(out, "\n")
	})
}

const startHour = t0 / 3_600_000 * 3600

func (r *rig) line(t *testing.T, line string, now *int64) string {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "#":
		return ""
	case "add":
		left, right, _ := strings.Cut(rest, ":")
		return outcome(r.add(*now, parseParts(t, left), cells{7, 1, parseCells(t, right, 0)}))
	case "window":
		left, right, _ := strings.Cut(rest, ":")
		stamp, at, _ := strings.Cut(left, "@")
		hour, err := strconv.ParseInt(strings.TrimSpace(at), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return outcome(r.add(*now, parseParts(t, stamp), cells{8, 1, parseCells(t, right, startHour+hour*3600)}))
	case "dead":
		c := &command.ExpireSessions{}
		for _, w := range strings.Fields(rest) {
			if n, err := fmt.Sscanf(w, "upto=%d", &c.Ordinary.Watermark); n == 1 && err == nil {
				continue
			}
			var x command.Range
			if _, err := fmt.Sscanf(w, "%d-%d", &x.From, &x.To); err != nil {
				t.Fatal(err)
			}
			c.Ordinary.Ranges = append(c.Ordinary.Ranges, x)
		}
		r.must(c)
	case "clock":
		d, err := time.ParseDuration(strings.TrimPrefix(rest, "by="))
		if err != nil {
			t.Fatal(err)
		}
		*now += d.Milliseconds()
		r.must(&command.Tick{Timed: command.Timed{Stamp: *now}})
		return fmt.Sprintf("log time %+ds", (r.m.Status().LogTime-t0)/1000)
	case "drop":
		d, err := time.ParseDuration(strings.TrimPrefix(rest, "before="))
		if err != nil {
			t.Fatal(err)
		}
		r.must(&command.DropWindows{ID: 8, Before: startHour + int64(d/time.Second)})
	case "restart":
		r.Checkpoint()
		r.Crash()
	case "show":
		return r.show(t)
	default:
		t.Fatalf("no such command: %s", line)
	}
	return ""
}

func parseParts(t *testing.T, text string) (parts []command.Part) {
	for _, w := range strings.Fields(text) {
		p := command.Part{Kind: command.Ordinary, MapVersion: 1}
		if w[0] == 'k' {
			p.Kind, p.Expires = command.Key, t0+3_600_000
		}
		stamp, ack, _ := strings.Cut(w[1:], "^")
		if _, err := fmt.Sscanf(stamp, "%d/%d", &p.Session, &p.Seq); err != nil {
			t.Fatalf("part %q: %v", w, err)
		}
		if ack != "" {
			if _, err := fmt.Sscan(ack, &p.AckUpTo); err != nil {
				t.Fatalf("part %q: %v", w, err)
			}
		}
		parts = append(parts, p)
	}
	return parts
}

func parseCells(t *testing.T, text string, window int64) (rows []cell) {
	for part := range strings.SplitSeq(text, ";") {
		var values string
		row := cell{window: window}
		if _, err := fmt.Sscan(part, &values, &row.delta); err != nil {
			t.Fatalf("cell %q: %v", part, err)
		}
		for _, v := range strings.Split(values, ",") {
			if v == "NULL" {
				v = null
			}
			row.values = append(row.values, v)
		}
		rows = append(rows, row)
	}
	return rows
}

func outcome(r *AddResult) string {
	words := []string{"counted"}
	if !r.Applied {
		words[0] = "not counted"
	}
	for _, p := range r.Parts {
		s := p.Code.String()
		if p.Duplicate {
			s = "DUPLICATE of " + s
		}
		if p.Code != fsm.OK && p.Code != fsm.EntryRefused {
			s += " (" + strings.ReplaceAll(p.Message(), fmt.Sprint(p.Value), relative(p)) + ")"
		}
		words = append(words, s)
	}
	return strings.Join(words, ", ")
}

// relative writes the start of a window as hours from the start.
func relative(p PartResult) string {
	if p.Code == fsm.Late || p.Code == fsm.Early {
		return fmt.Sprintf("start%+dh", (p.Value-startHour)/3600)
	}
	return fmt.Sprint(p.Value)
}

func (r *rig) show(t *testing.T) string {
	snap, err := r.Store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	var b strings.Builder
	for _, id := range snap.Tables() {
		view, _ := snap.Table(id)
		for _, line := range fsmtest.Cells(t, view) {
			b.WriteString(strings.ReplaceAll(line, fmt.Sprint(int64(startHour)), "start"))
		}
	}
	r.Store.Update(func(*storage.Tx) {
		s := r.m.Status()
		fmt.Fprintf(&b, "%d windows, dead up to %d and %v", s.Windows, s.Dead.Ordinary.Watermark, s.Dead.Ordinary.Ranges)
	})
	return b.String()
}
