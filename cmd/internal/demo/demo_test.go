package demo

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// newStage is a cluster with a writer, as the command of the demonstration makes it.
func newStage(t *testing.T, nodes int) (*Stage, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := Start(ctx, nodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Open(ctx, cluster.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	})
	if err := cluster.Settle(ctx, c); err != nil {
		t.Fatal(err)
	}
	traffic, err := StartTraffic(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := traffic.Stop(); err != nil {
			t.Error(err)
		}
	})
	out := &bytes.Buffer{}
	return &Stage{Cluster: cluster, Client: c, Traffic: traffic, Out: out}, out
}

func TestCountsStayExactWhileNodesDieAndAreCutOff(t *testing.T) {
	t.Parallel()
	s, out := newStage(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Act(ctx); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(out.String(), "the writer's books"); n != 5 { // a comparison may come in the middle of an election, but for the last
		t.Errorf("the books were compared %d times, want 5:\n%s", n, out)
	}
	if _, end, _ := strings.Cut(out.String(), "at the end\n"); !strings.Contains(end, "exact, cell by cell") {
		t.Errorf("not exact at the end:\n%s", out)
	}
	if strings.Count(out.String(), "the database: 0  ") > 1 {
		t.Errorf("the writer wrote nothing:\n%s", out)
	}
	for line, want := range map[string]string{
		`\kill`: "which node?", `\kill x`: "which node?", `\kill 4`: "there is no node 4", `\isolate 0`: "there is no node 0", `\restart 1`: "node 1 is running",
	} {
		if err := s.play(ctx, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// Without a majority the writer waits and the comparison says so; with one again, every observation is there once.
func TestNothingIsLostWithoutAMajority(t *testing.T) {
	t.Parallel()
	s, out := newStage(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.play(ctx, `\isolate 2`, `\kill 3`); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "1 of 3 nodes are no majority") {
		t.Errorf("nobody says that there is no majority:\n%s", out)
	}
	short, end := context.WithTimeout(ctx, time.Second)
	if _, err := s.Traffic.Compare(short); err == nil {
		t.Error("the books were compared without a majority")
	}
	end()
	if err := s.play(ctx, `\heal`, `\restart 3`); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := s.Traffic.Compare(ctx)
	if err != nil || len(b.Wrong) > 0 || b.Booked == 0 {
		t.Errorf("after the majority is back: %+v, %v", b, err)
	}
}

func TestDemonstrationsHaveAnOddNumberOfNodes(t *testing.T) {
	for n, ok := range map[int]bool{3: true, 5: true, 0: false, 2: false, 4: false, 7: false, -1: false} {
		if err := CheckNodes(n); (err == nil) != ok {
			t.Errorf("%d nodes: %v", n, err)
		}
	}
}
