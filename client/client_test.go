package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

func open(t testing.TB, target string, opts ...Option) *Client {
	t.Helper()
	c, err := Open(t.Context(), target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func TestAddCountsOnceWhileRepliesAreLost(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("together=%v", together), func(t *testing.T) { countsOnceWhileRepliesAreLost(t, together) })
	}
}

func countsOnceWhileRepliesAreLost(t *testing.T, together bool) {
	f, addr := newFake(t)
	f.cut, f.together = 0.1, together
	c := open(t, addr, WithBatchCells(3), WithLinger(0), WithInFlight(windowMax))
	table := c.Table("checkout")
	const writers, each = 4, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := table.Add(t.Context(), 1, "variant", string(rune('A'+i%5)), "writer", fmt.Sprint(w))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		for v := range 5 {
			cell := fmt.Sprintf("checkout:variant=%c,writer=%d", 'A'+v, w)
			if got := f.get(cell); got != each/5 {
				t.Errorf("%s = %d, want %d", cell, got, each/5)
			}
		}
	}
	if len(f.applied) < 100 {
		t.Errorf("only %d batches travelled: the test shows nothing", len(f.applied))
	}
	if f.maxOpen > 1024 {
		t.Errorf("%d sequence numbers were open, the server remembers 1,024", f.maxOpen)
	}
}

// TestRequestsThatWaitTravelTogether holds the sender back until many requests wait: each is answered for itself.
func TestRequestsThatWaitTravelTogether(t *testing.T) {
	f, addr := newFake(t)
	f.together = true
	f.refuse = func(r *apiv1.WriteRequest) *apiv1.WriteResponse {
		if r.Stamp.Seq != 7 {
			return nil
		}
		return &apiv1.WriteResponse{Error: &apiv1.Error{Code: "BELOW_ZERO", Message: "count would be -1"}}
	}
	gate := make(chan struct{})
	c := open(t, addr, WithInFlight(windowMax), WithHooks(Hooks{OnSend: func(b BatchInfo) {
		if b.Seq == 2 {
			<-gate
		}
	}}))
	if _, err := c.Table("t").AddSync(t.Context(), Batch{Rows: []Observation{{Pairs: []string{"i", "first"}}}}); err != nil {
		t.Fatal(err)
	}
	b := c.Table("t").Builder()
	var sent []*Pending
	const n = 500
	for i := range n {
		cell, err := b.Prepare("i", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		b.Count(cell, 1)
		p, err := b.Send(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p)
	}
	close(gate)
	for i, p := range sent {
		r, err := p.Wait(t.Context())
		switch {
		case i+2 == 7 && !errors.Is(err, &Error{Code: "BELOW_ZERO"}):
			t.Errorf("request 7: %v", err)
		case i+2 != 7 && (err != nil || len(r.Shards) != 1):
			t.Errorf("request %d: %v, %v", i+2, r, err)
		}
	}
	if f.messages > 2+(n+togetherMax-1)/togetherMax {
		t.Errorf("%d messages for %d requests", f.messages, n)
	}
	if s := c.Stats(); s.Batches != n+1 || s.Rows != n+1 || s.Observations != n+1 || s.Retries != 0 || s.BytesSent < 20*n {
		t.Errorf("totals %+v", s)
	}
	if len(f.cells) != n {
		t.Errorf("%d cells, want %d", len(f.cells), n)
	}
}

// TestEveryAnswerBeforeABreakCounts breaks each stream after three answers: no more streams are needed than a third of the batches.
func TestEveryAnswerBeforeABreakCounts(t *testing.T) {
	f, addr := newFake(t)
	f.perStream = 3
	hold := make(chan struct{})
	f.hold = hold
	c := open(t, addr, WithBatchCells(1), WithLinger(0), WithInFlight(windowMax))
	table := c.Table("t")
	const batches = 60
	for i := range batches {
		if err := table.Add(t.Context(), 1, "i", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.streams > batches/f.perStream+1 {
		t.Errorf("%d streams for %d batches, 3 answers on each", f.streams, batches)
	}
}

func TestAddStampsTheEventTime(t *testing.T) {
	f, addr := newFake(t)
	when := time.Date(1973, 9, 1, 12, 0, 0, 250e6, time.UTC)
	c := open(t, addr, func(o *options) { o.now = func() time.Time { return when } })
	if err := c.Table("t").Add(t.Context(), 1, "a", "x"); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := when.Truncate(time.Second).UnixMilli(); f.events[0] != want {
		t.Errorf("event time %d, want %d", f.events[0], want)
	}
}

func TestAddRefusesBadObservations(t *testing.T) {
	_, addr := newFake(t)
	table := open(t, addr).Table("t")
	for name, pairs := range map[string][]string{
		"none": {}, "odd": {"a"}, "twice": {"a", "1", "a", "2"}, "utf-8": {"a", "\xff"},
		"long value": {"a", string(make([]byte, valueBytesMax+1))}, "no name": {"", "x"},
	} {
		if err := table.Add(t.Context(), 1, pairs...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if err := table.Add(t.Context(), 0, "a", "x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("count 0: got %v", err)
	}
}

func TestAddOfWhatWouldOverflowTravelsInTwoBatches(t *testing.T) {
	f, addr := newFake(t)
	c := open(t, addr, WithLinger(time.Hour))
	table := c.Table("t")
	for _, n := range []int64{math.MaxInt64, 5, -7} {
		if err := table.Add(t.Context(), n, "a", "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := f.get("t:a=x"), int64(math.MaxInt64)-2; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestFullBufferIsAnErrorAndKeepsWhatItHas(t *testing.T) {
	f, addr := newFake(t)
	f.hold = make(chan struct{})
	c := open(t, addr, WithBuffer(1), WithBatchCells(16), WithInFlight(1))
	table := c.Table("t")
	accepted := 0
	var err error
	for i := 0; err == nil && i < 1<<20; i++ {
		if err = table.Add(t.Context(), 1, "a", fmt.Sprint(i)); err == nil {
			accepted++
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("after %d observations: %v, want ErrFull", accepted, err)
	}
	f.mu.Lock()
	close(f.hold)
	f.hold = nil
	f.mu.Unlock()
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.cells) != accepted {
		t.Errorf("%d cells counted, %d accepted", len(f.cells), accepted)
	}
}

func TestBlockingAddWaitsForItsContext(t *testing.T) {
	f, addr := newFake(t)
	f.hold = make(chan struct{})
	defer close(f.hold)
	c := open(t, addr, WithBuffer(1), WithBatchCells(1), WithInFlight(1), WithBlocking())
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // an Add that finds room does not look at it
	var err error
	for i := 0; err == nil; i++ {
		err = c.Table("t").Add(ctx, 1, "a", fmt.Sprint(i))
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := c.Close(ctx); err == nil {
		t.Error("Close delivered nothing and reported nothing")
	}
}

func TestRefusalsAreReportedWithTheirReason(t *testing.T) {
	f, addr := newFake(t)
	f.refuse = func(r *apiv1.WriteRequest) *apiv1.WriteResponse {
		return &apiv1.WriteResponse{
			Receipt: &apiv1.Receipt{Shards: []*apiv1.ShardReceipt{{Shard: 0, Index: 3}}},
			Refused: []*apiv1.Refusal{{Shard: 1, Rows: []uint32{0}, Error: &apiv1.Error{Code: "BELOW_ZERO", Message: "count would be -1"}}},
		}
	}
	var hooked []string
	c := open(t, addr, WithHooks(Hooks{OnRefused: func(b BatchInfo, e *Error) { hooked = append(hooked, b.Table+" "+e.Code) }}))
	rc, err := c.Table("t").AddSync(t.Context(), Batch{Rows: []Observation{
		{Count: -4, Pairs: []string{"a", "x"}}, {Count: 1, Pairs: []string{"a", "y"}},
	}})
	if !errors.Is(err, &Error{Code: "BELOW_ZERO"}) || len(rc.Shards) != 1 {
		t.Errorf("receipt %v, error %v", rc, err)
	}
	var lost *LostError
	if err := c.Flush(t.Context()); !errors.As(err, &lost) || lost.Refused != 4 {
		t.Errorf("Flush: %v, want 4 refused", err)
	}
	if len(hooked) != 1 || hooked[0] != "t BELOW_ZERO" {
		t.Errorf("hooks saw %v", hooked)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Errorf("reported twice: %v", err)
	}
}

func TestRetryableRefusalIsSentAgainUnderTheSameStamp(t *testing.T) {
	f, addr := newFake(t)
	var stamps []uint64
	f.refuse = func(r *apiv1.WriteRequest) *apiv1.WriteResponse {
		if stamps = append(stamps, r.Stamp.Seq); len(stamps) < 4 {
			return &apiv1.WriteResponse{Error: &apiv1.Error{Code: "BUSY", Message: "later", Retryable: true, RetryAfterMs: 1}}
		}
		return nil
	}
	c := open(t, addr)
	if _, err := c.Table("t").AddSync(t.Context(), Batch{Rows: []Observation{{Pairs: []string{"a", "x"}}}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range stamps {
		if s != stamps[0] {
			t.Fatalf("stamps %v", stamps)
		}
	}
	if f.get("t:a=x") != 1 {
		t.Errorf("counted %d times", f.get("t:a=x"))
	}
}

func TestExpiredSessionIsAnUnknownOutcomeAndNeverSentAgain(t *testing.T) {
	f, addr := newFake(t)
	f.dead[1] = true
	c := open(t, addr)
	_, err := c.Table("t").AddSync(t.Context(), Batch{Rows: []Observation{{Count: 3, Pairs: []string{"a", "x"}}}})
	if !errors.Is(err, &Error{Code: "OUTCOME_UNKNOWN"}) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Table("t").AddSync(t.Context(), Batch{Rows: []Observation{{Pairs: []string{"a", "y"}}}}); err != nil {
		t.Fatalf("the next session: %v", err)
	}
	if f.get("t:a=x") != 0 || f.get("t:a=y") != 1 {
		t.Errorf("cells %v", f.cells)
	}
	var lost *LostError
	if err := c.Flush(t.Context()); !errors.As(err, &lost) || lost.Unknown != 3 {
		t.Errorf("Flush: %v, want 3 unknown", err)
	}
}

// Nothing but its own time may come between a session and its renewals: here a stream never lives as long as one.
func TestSessionLivesOnBrokenStreams(t *testing.T) {
	f, addr := newFake(t)
	f.perStream, f.ttl = 1, 300*time.Millisecond
	c := open(t, addr)
	gone := time.After(20 * time.Second)
	kept := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.kept
	}
	for kept() < 3 {
		if _, err := c.Table("t").AddSync(t.Context(), Batch{Rows: []Observation{{Pairs: []string{"x", "a"}}}}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-gone:
			t.Fatalf("the session was renewed %d times in many times its life", kept())
		default:
		}
	}
	if f.streams < 3 {
		t.Errorf("%d streams do not show that a session outlives them", f.streams)
	}
}

// A cluster whose disks are full, or whose metadata has no leader, still has counts to read.
func TestWithoutASessionAClientReadsAndItsCountsWait(t *testing.T) {
	for _, reason := range []string{"DISK_FULL", "NOT_LEADER"} {
		f, addr := newFake(t)
		f.refused, f.reason = 2, reason
		f.result = []*apiv1.QueryChunk{{Columns: []*apiv1.ResultColumn{{Name: "i", Type: apiv1.Type_TYPE_INT8}}}, {End: &apiv1.QueryEnd{Tag: "SELECT 0"}}}
		c := open(t, addr)
		if rows, err := c.Query(t.Context(), "SELECT 1"); err != nil || rows.Next() || rows.Err() != nil {
			t.Errorf("%s: a query without a session: %v", reason, err)
		}
		if err := c.Table("t").Add(t.Context(), 3, "a", "x"); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context()); err != nil || f.get("t:a=x") != 3 {
			t.Errorf("%s: once a session could be opened: %v, cells %v", reason, err, f.cells)
		}
	}
}

func TestClosedClientTakesNothing(t *testing.T) {
	f, addr := newFake(t)
	c := open(t, addr)
	table := c.Table("t")
	if err := table.Add(t.Context(), 2, "a", "x"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.get("t:a=x") != 2 {
		t.Errorf("Close delivered %d of 2", f.get("t:a=x"))
	}
	if err := table.Add(t.Context(), 1, "a", "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
	if _, err := table.AddSync(t.Context(), Batch{Rows: []Observation{{Pairs: []string{"a", "x"}}}}); !errors.Is(err, ErrClosed) {
		t.Errorf("AddSync after Close: %v", err)
	}
}

func TestRowAndBuilder(t *testing.T) {
	f, addr := newFake(t)
	c := open(t, addr)
	table := c.Table("t")
	row, err := table.Row("a", "x")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := row.Inc(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b := table.Builder()
	cell, err := b.Prepare("a", "y")
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		b.Count(cell, 1)
	}
	p, err := b.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.get("t:a=x") != 10 || f.get("t:a=y") != 300 {
		t.Errorf("cells %v", f.cells)
	}
}

func TestQueryDecodesEveryType(t *testing.T) {
	f, addr := newFake(t)
	f.result = []*apiv1.QueryChunk{
		{
			Columns: []*apiv1.ResultColumn{{Name: "i", Type: apiv1.Type_TYPE_INT8}, {Name: "f", Type: apiv1.Type_TYPE_FLOAT8},
				{Name: "t", Type: apiv1.Type_TYPE_TEXT}, {Name: "b", Type: apiv1.Type_TYPE_BOOL}, {Name: "ts", Type: apiv1.Type_TYPE_TIMESTAMPTZ}},
			Rows: 2,
			Data: []*apiv1.ColumnData{
				{Ints: []int64{math.MaxInt64, 0}, Nulls: []byte{2}}, {Floats: []float64{0.5, math.Inf(1)}},
				{Texts: []string{"x", ""}}, {Bools: []bool{true, false}}, {Ints: []int64{1_000_000, 0}},
			},
		},
		{End: &apiv1.QueryEnd{Tag: "SELECT 2", Snapshot: &apiv1.SnapshotID{MetaTerm: 7, Round: 12, Catalog: 3},
			Notices: []*apiv1.Notice{{Severity: "WARNING", Message: "min_expected<5"}}}},
	}
	rows, err := open(t, addr).Query(t.Context(), "SELECT 1", 1, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		got = append(got, fmt.Sprintln(rows.Values()...))
	}
	want := []string{"9223372036854775807 0.5 x true 1970-01-01 00:00:01 +0000 UTC\n", "<nil> +Inf  false 1970-01-01 00:00:00 +0000 UTC\n"}
	if rows.Err() != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q (%v), want %q", got, rows.Err(), want)
	}
	if ft := rows.Footing(); ft.Snapshot != "7/12/3" || ft.Tag != "SELECT 2" || len(ft.Notices) != 1 {
		t.Errorf("footing %+v", ft)
	}
}

func TestResultThatIsCutOffIsAnError(t *testing.T) {
	f, addr := newFake(t)
	f.result = []*apiv1.QueryChunk{{Columns: []*apiv1.ResultColumn{{Name: "i", Type: apiv1.Type_TYPE_INT8}}, Rows: 1,
		Data: []*apiv1.ColumnData{{Ints: []int64{1}}}}}
	rows, err := open(t, addr).Query(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if !errors.Is(rows.Err(), &Error{Code: "UNAVAILABLE"}) {
		t.Errorf("got %v", rows.Err())
	}
}

func TestTargets(t *testing.T) {
	for in, want := range map[string]string{
		"quipu://h:1": "h:1", "quipus://h:1/": "h:1", "h": "h:7480", "127.0.0.1:9": "127.0.0.1:9", "[::1]:9": "[::1]:9", "::1": "[::1]:7480",
		"a,b:2": "a:7480 b:2", "quipus://a:1,[::1]:2,a:1": "a:1 [::1]:2",
	} {
		if got, encrypted, err := parseTarget(in); err != nil || strings.Join(got, " ") != want || encrypted != strings.HasPrefix(in, "quipus:") {
			t.Errorf("parseTarget(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "http://h:1", "quipu://", "quipu://h/x", "quipu://u@h", "a,,b", "a, b"} {
		if _, _, err := parseTarget(in); err == nil {
			t.Errorf("parseTarget(%q) was accepted", in)
		}
	}
}

// What is counted goes on with another node when one is lost, under the same stamps.
func TestAnotherNodeTakesOver(t *testing.T) {
	for lost := range 2 {
		f, _ := newFake(t)
		var nodes [2]string
		var stop [2]func()
		for i := range nodes {
			nodes[i], stop[i] = f.serve(t)
		}
		c := open(t, "quipu://"+strings.Join(nodes[:], ","))
		for i := range 20 {
			if err := c.Table("t").Add(t.Context(), 1, "a", "x"); err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if i == 10 {
				stop[lost]()
			}
		}
		if n := f.cells["t:a=x"]; n != 20 {
			t.Errorf("%d were counted, want 20: %v", n, f.cells)
		}
	}
}

func BenchmarkAddKnownCell(b *testing.B) {
	_, addr := newFake(b)
	table := open(b, addr, WithLinger(time.Second)).Table("t")
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Add(ctx, 1, "variant", "B", "outcome", "bought", "country", "DE"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRowInc(b *testing.B) {
	_, addr := newFake(b)
	row, err := open(b, addr, WithLinger(time.Second)).Table("t").Row("variant", "B", "outcome", "bought", "country", "DE")
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := row.Inc(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCredentialsNeedEncryption: a token is not sent in the clear to another machine.
func TestCredentialsNeedEncryption(t *testing.T) {
	for _, o := range []Option{WithToken("x"), WithPassword("ann", "x")} {
		if _, err := Open(t.Context(), "quipu://192.0.2.1:7480", o); err == nil || !strings.Contains(err.Error(), "unencrypted") {
			t.Errorf("Open = %v", err)
		}
	}
	for address, want := range map[string]bool{"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "10.0.0.1:1": false, "a.example:1": false} {
		if areLoopback([]string{address}) != want {
			t.Errorf("areLoopback(%s) is not %v", address, want)
		}
	}
}

// TestQueryIsAskedAgain has a server go away under queries. One that only reads is asked again if nothing of its answer has come, and as one
// that must not do more; what changes something is not.
func TestQueryIsAskedAgain(t *testing.T) {
	end := &apiv1.QueryChunk{End: &apiv1.QueryEnd{Tag: "SELECT 0"}}
	rows := &apiv1.QueryChunk{Columns: []*apiv1.ResultColumn{{Name: "n", Type: apiv1.Type_TYPE_INT8}}, Rows: 1, Data: []*apiv1.ColumnData{{Ints: []int64{7}}}}
	for _, c := range []struct {
		name, sql   string
		result      []*apiv1.QueryChunk
		away, asked int
		code        string
	}{
		{"once", "SELECT 1", []*apiv1.QueryChunk{end}, 1, 2, ""},
		{"three times", " (\nselect 1) UNION VALUES (2)", []*apiv1.QueryChunk{end}, 3, 4, ""},
		{"for good", "WITH x AS (SELECT 1) SELECT * FROM x", []*apiv1.QueryChunk{end}, 100, triesMax, "UNAVAILABLE"},
		{"after rows", "SELECT 1", []*apiv1.QueryChunk{rows, end}, 1, 1, "UNAVAILABLE"},
		{"a change", "INSERT INTO t VALUES ('x')", []*apiv1.QueryChunk{end}, 1, 1, "UNAVAILABLE"},
		{"a change behind a read", "SELECT 1; INSERT INTO t VALUES ('x')", []*apiv1.QueryChunk{end}, 1, 2, "UNAVAILABLE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, addr := newFake(t)
			f.result, f.away = c.result, c.away
			_, err := open(t, addr).Exec(t.Context(), c.sql)
			if e, ok := errors.AsType[*Error](err); ok != (c.code != "") || ok && e.Code != c.code || err != nil && !ok {
				t.Errorf("%v", err)
			}
			if len(f.asked) != c.asked {
				t.Errorf("it was asked %d times", len(f.asked))
			}
			for i, r := range f.asked {
				if r.ReadOnly != (i > 0) || r.Single != (i > 0) {
					t.Errorf("try %d: %v", i+1, r)
				}
			}
		})
	}
}
