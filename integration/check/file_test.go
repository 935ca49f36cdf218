package check

import (
	"bytes"
	"flag"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var recorded = flag.String("history", "", "a history file to check again: go test ./integration/check -run Recorded -history FILE")

// TestRecordedHistory checks the file that a failed run has kept.
func TestRecordedHistory(t *testing.T) {
	path := *recorded
	if path == "" { // without one it shows that the way from a run to a verdict works
		path = filepath.Join(t.TempDir(), "history.jsonl")
		if err := simulate(7, medium, sound).Save(path); err != nil {
			t.Fatal(err)
		}
	}
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; %v", h.Summary(), h.Note)
	if err := Verify(h); err != nil {
		kinds := kindsOf(h)
		t.Fatalf("%v\nthe smallest history with the same anomalies:\n%v", err, Shrink(h, func(h *History) bool { return kindsOf(h) == kinds }))
	}
}

func TestFileKeepsTheHistory(t *testing.T) {
	h := simulate(3, medium, sound)
	h.Note, h.Failed = map[string]string{"seed": "3"}, 2
	h.Reads[0].Level, h.Reads[0].Age = Stale, 5
	h.Reads[1].Views[0].Cells = nil
	var b bytes.Buffer
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := ReadHistory(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, h) {
		t.Error("the history came back changed")
	}
}

func TestFileIsRefusedByLine(t *testing.T) {
	const head = `{"format":"quipu-history","version":1,"shards":1,"writers":1}` + "\n"
	const add = `{"add":{"client":0,"writer":0,"shard":0,"delta":5,"call":1,"return":2,"outcome":"acked"}}` + "\n"
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "line 1 of the history: the file ends too early"},
		{"another format", `{"format":"x","version":1}`, `format "x" version 1`},
		{"a later version", `{"format":"quipu-history","version":2}`, `version 2; this program reads "quipu-history" version 1`},
		{"no end", head + add, "line 3 of the history: the file ends too early, a part is missing"},
		{"lines lost", head + `{"end":{"adds":1,"reads":0}}`, "0 adds and 0 reads were read, 1 and 0 were written"},
		{"an empty line", head + "{}\n", "line 2 of the history: it is neither an operation nor the end"},
		{"an outcome", head + strings.Replace(add, "acked", "maybe", 1), `outcome "maybe" is none of`},
		{"a writer", head + strings.Replace(add, `"writer":0`, `"writer":1`, 1) + `{"end":{"adds":1}}`, "writer 1 is not one of 1"},
		{"a delta", head + strings.Replace(add, `"delta":5`, `"delta":0`, 1) + `{"end":{"adds":1}}`, "delta 0 is not within"},
		{"an interval", head + strings.Replace(add, `"return":2`, `"return":0`, 1) + `{"end":{"adds":1}}`, "returned at 0 and was called at 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadHistory(strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestOverlapIsNoHistory: a writer with two adds under way cannot be judged by its cell.
func TestOverlapIsNoHistory(t *testing.T) {
	h := &History{Shards: 1, Writers: 1, Adds: []Add{{Delta: 1, Call: 1, Return: 4}, {Delta: 1, Call: 3, Return: 5}}}
	if _, err := Prepare(h); err == nil || !strings.Contains(err.Error(), "one at a time") {
		t.Errorf("error %v", err)
	}
}

// FuzzReadHistory: no file makes the reader or a checker panic, and what was read is written alike.
func FuzzReadHistory(f *testing.F) {
	for seed := range uint64(3) {
		var b bytes.Buffer
		simulate(seed, small, bugs[seed]).Write(&b)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := ReadHistory(bytes.NewReader(file))
		if err != nil || h.Shards*(h.Writers+1) > 1<<12 || len(h.Adds)+len(h.Reads) > 1000 {
			return
		}
		var b bytes.Buffer
		if err := h.Write(&b); err != nil {
			t.Fatal(err)
		}
		back, err := ReadHistory(&b)
		if err != nil || fmt.Sprint(back) != fmt.Sprint(h) {
			t.Fatalf("%v: %v became %v", err, h, back)
		}
		if l, err := Prepare(h); err == nil {
			l.All()
		}
	})
}
