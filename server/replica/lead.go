package replica

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
)

// config is raft's, as docs/decisions say why.
func (r *Replica) config() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.o.NodeID)
	c.CommitTimeout = r.o.CommitTimeout
	c.BatchApplyCh = true
	c.MaxAppendEntries = 64
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	c.ShutdownOnRemove = false
	c.NotifyCh = r.notify
	c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = 10*time.Second, thresholdMax, trailingFirst
	if r.o.LogKeep != 0 {
		c.SnapshotThreshold, c.TrailingLogs = max(1, r.o.LogKeep/4), r.o.LogKeep
	}
	c.Logger = hclog.New(&hclog.LoggerOptions{Name: r.o.Group.String(), Level: hclog.Warn, Output: lines{r.log}, DisableTime: true})
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = r.o.Timeout, r.o.Timeout, r.o.Timeout/2
	return c
}

// lines turns raft's log into ours.
type lines struct{ log *slog.Logger }

func (l lines) Write(p []byte) (int, error) {
	level := slog.LevelInfo // elections and the like: part of every start
	if bytes.Contains(p, []byte("[ERROR]")) {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, "raft", "line", string(bytes.TrimSpace(p)))
	return len(p), nil
}

var _ io.Writer = lines{}

// watchLeadership proposes the first command of each term that this replica leads in.
func (r *Replica) watchLeadership() {
	for leading := range r.notify {
		if !leading {
			r.gate.Reset()
			r.log.Info("lost leadership", "term", r.raft.CurrentTerm())
			continue
		}
		r.begin()
	}
}

// begin proves that everything committed before is applied, then brings log time near to the clock: one entry moves it by an hour at most,
// and the first writes after a long silence must not look as if they came from the future.
func (r *Replica) begin() {
	r.compareClocks(r.life)
	now := time.Now() // and not by a clock that may be set
	r.since.Store(&now)
	if _, _, err := r.apply(&command.TermStart{}); err != nil {
		r.log.Warn("the first command of the term failed", "err", err)
		return
	}
	for r.life.Err() == nil && r.o.LogTime != nil && r.Stamp()-r.o.LogTime() > fsm.StepMax.Milliseconds() {
		if _, _, err := r.apply(&command.Tick{}); err != nil {
			r.log.Warn("log time could not be moved", "err", err)
			return
		}
	}
	if r.o.Led != nil {
		r.o.Led(r)
	}
	r.ledOne.Do(func() { close(r.led) })
	r.log.Info("leading", "term", r.raft.CurrentTerm(), "index", r.raft.LastIndex())
}

const (
	trailingBytes = 256 << 20 // of log that stays behind a compaction, for followers that lag
	trailingMin   = 1024      // entries
	trailingFirst = 10240     // until the mean size of an entry is known
	thresholdMax  = 16 << 10  // entries between two compactions
	tendEvery     = 10 * time.Second
	idleTick      = 10 * time.Minute
)

// tend keeps the log's length near a number of bytes and log time near the clock.
func (r *Replica) tend() {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.sizeLog()
			r.tickIdle()
		case <-r.life.Done():
			return
		}
	}
}

func (r *Replica) sizeLog() {
	entries := r.entries.Load()
	if entries < 64 || r.o.LogKeep != 0 {
		return
	}
	mean := max(1, r.bytes.Load()/entries)
	c := r.raft.ReloadableConfig()
	trailing := max(trailingMin, trailingBytes/mean)
	if c.TrailingLogs/2 < trailing && trailing < 2*c.TrailingLogs {
		return
	}
	c.TrailingLogs, c.SnapshotThreshold = trailing, min(max(trailing/4, trailingMin), thresholdMax)
	if err := r.raft.ReloadConfig(c); err != nil {
		r.log.Warn("the length of the log could not be changed", "err", err)
	}
}

func (r *Replica) tickIdle() {
	if _, err := r.Leading(); err != nil {
		return
	}
	r.compareClocks(r.life)
	if r.o.LogTime == nil || r.Stamp()-r.o.LogTime() < idleTick.Milliseconds() {
		return
	}
	if _, _, err := r.apply(&command.Tick{}); err != nil {
		r.log.Warn("log time could not be moved", "err", err)
	}
}
