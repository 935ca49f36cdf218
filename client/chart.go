package client

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/proto/slot"
)

// chart is what the client knows of where cells belong: the owner of each slot, who leads each shard, and how tables are partitioned. It is
// never more than a hint: a node splits what it is sent by its own map and passes on what belongs elsewhere, so that an old chart costs a
// hop and nothing else.
type chart struct {
	c      *Client
	routes atomic.Pointer[routes]                // nil: nothing is known yet
	keys   atomic.Pointer[map[string]*partition] // by table; never changed
	want   chan struct{}                         // room for one: there is something to ask

	mu     sync.Mutex           // guards the fields below, and orders changes of routes and keys; taken before a sender's, never after it
	wanted map[string]bool      // tables to be asked for
	asked  map[string]time.Time // when they were last
	stale  bool                 // the map is to be asked for
}

// routes are one version of the map. They are never changed.
type routes struct {
	version uint64
	owner   [slot.Count]uint32
	leaders map[uint32]string // address of the leader by shard; none that the client should not connect to
	several bool              // they are at several addresses
	only    int32             // else a shard that is led at the only one; −1: none
}

// look finds out how many addresses there are.
func (r *routes) look() {
	r.several, r.only = false, -1
	for shard, address := range r.leaders { // any order: one of them stands for all if their addresses are equal
		if r.only >= 0 && r.leaders[uint32(r.only)] != address {
			r.several = true
		}
		r.only = int32(shard)
	}
}

// partition is how the cells of a table are spread.
type partition struct {
	table    uint64
	names    []string
	defaults []uint64 // hash of the value that a row without the dimension gets
}

const (
	chartEvery   = 30 * time.Second // the map is read again, for what no answer has told
	chartTimeout = 5 * time.Second
	tablePause   = time.Second // between two questions for one table
	tablesMax    = 1024        // known at a time
	linksMax     = 64          // addresses of leaders that are used; the others are reached through any node
)

func newChart(c *Client) *chart {
	m := &chart{c: c, want: make(chan struct{}, 1), wanted: map[string]bool{}, asked: map[string]time.Time{}, stale: true}
	m.keys.Store(&map[string]*partition{})
	return m
}

// run asks what there is to know until ctx ends.
func (m *chart) run(ctx context.Context) {
	every := time.NewTicker(chartEvery)
	defer every.Stop()
	for {
		if next := m.ask(ctx); next > 0 {
			sleep(ctx, next)
			m.wake()
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			m.mu.Lock()
			m.stale = true
			m.mu.Unlock()
		case <-m.want:
		}
	}
}

func (m *chart) wake() {
	select {
	case m.want <- struct{}{}:
	default:
	}
}

// ask asks for what is missing. What must wait is due in next; 0 says that nothing does.
func (m *chart) ask(ctx context.Context) (next time.Duration) {
	now := m.c.opts.now()
	m.mu.Lock()
	stale := m.stale
	m.stale = false
	var tables []string
	for name := range m.wanted { // any order
		if wait := m.asked[name].Add(tablePause).Sub(now); wait > 0 {
			next = max(next, wait)
			continue
		}
		tables = append(tables, name)
		delete(m.wanted, name)
		m.asked[name] = now
	}
	m.mu.Unlock()
	if stale && !m.askMap(ctx) {
		next = max(next, tablePause)
	}
	for _, name := range tables {
		m.askTable(ctx, name)
	}
	return next
}

// askMap reads the map of slots and who leads. It is false if it has to be asked again.
func (m *chart) askMap(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(m.c.authorize(ctx), chartTimeout)
	defer cancel()
	info, err := m.c.cluster.Info(ctx, &apiv1.ClusterInfoRequest{})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		e, ok := errors.AsType[*Error](fromStatus(err))
		m.stale = ok && e.Retryable // else an older server, or no right: the client goes on without
		return !m.stale
	}
	m.meet(info)
	r := &routes{version: info.GetShardMap().GetVersion(), leaders: map[uint32]string{}}
	for _, g := range info.GetShardMap().GetRanges() {
		for i := g.First; i <= g.Last && i < slot.Count; i++ {
			r.owner[i] = g.Shard
		}
	}
	if old := m.routes.Load(); old != nil && old.version > r.version { // the node that was asked lags behind
		return true
	}
	here := true // the node that was asked leads all shards
	for _, l := range info.Leaders {
		if m.c.mayDial(l.ApiAddr) {
			r.leaders[l.Shard] = l.ApiAddr
		}
		here = here && l.NodeId == info.NodeId
	}
	if here && len(m.c.hosts) == 1 { // the client is where it should be
		clear(r.leaders)
	}
	m.store(r)
	return true
}

// meet tells the doors of the nodes that the client was not told of. Where there is none the ones that it has met stay.
func (m *chart) meet(info *apiv1.ClusterInfo) {
	addresses := slices.Clone(info.ApiAddrs)
	for _, l := range info.Leaders { // an older server says no more
		addresses = append(addresses, l.ApiAddr)
	}
	slices.Sort(addresses)
	addresses = slices.DeleteFunc(slices.Compact(addresses), func(a string) bool { return !m.c.mayDial(a) || slices.Contains(m.c.hosts, a) })
	_ = m.c.doors.learn(addresses[:min(len(addresses), linksMax)]) // without, it is as it was
}

// askTable reads how a table is partitioned.
func (m *chart) askTable(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(m.c.authorize(ctx), chartTimeout)
	defer cancel()
	t, err := m.c.catalog.GetTable(ctx, &apiv1.GetTableRequest{Table: name})
	if err != nil {
		return // batches travel whole, and ask again
	}
	p := &partition{table: t.Id}
	for _, d := range t.GetPartitionBy().GetDimensions() {
		of := slot.HashValue("", true)
		for _, dim := range t.Dimensions {
			if dim.Name == d && dim.DefaultValue != nil {
				of = slot.HashValue(*dim.DefaultValue, false)
			}
		}
		p.names, p.defaults = append(p.names, d), append(p.defaults, of)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := map[string]*partition{}
	if old := *m.keys.Load(); len(old) < tablesMax {
		keys = maps.Clone(old)
	}
	keys[name] = p
	m.keys.Store(&keys)
}

// partition is that of a table, or nil, and then it is asked for.
func (m *chart) partition(table string) *partition {
	if p := (*m.keys.Load())[table]; p != nil {
		return p
	}
	m.doubt(table)
	return nil
}

// doubt has the definition of a table read again.
func (m *chart) doubt(table string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wanted[table] {
		return
	}
	if len(m.wanted) >= tablesMax || len(m.asked) >= tablesMax {
		clear(m.wanted)
		clear(m.asked)
	}
	m.wanted[table] = true
	m.wake()
}

// leader is where the leader of a shard serves, or "".
func (m *chart) leader(shard int32) string {
	r := m.routes.Load()
	if r == nil || shard < 0 {
		return ""
	}
	return r.leaders[uint32(shard)]
}

// learn takes in what an answer says of the map.
func (m *chart) learn(a *apiv1.WriteResponse) {
	r := m.routes.Load()
	if r == nil || len(a.Led) == 0 && a.MapVersion <= r.version {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r = m.routes.Load(); a.MapVersion > r.version {
		m.stale = true
		m.wake()
	}
	changed := *r
	changed.leaders = nil
	for _, l := range a.Led {
		if r.leaders[l.Shard] == l.ApiAddr || !m.c.mayDial(l.ApiAddr) {
			continue
		}
		if changed.leaders == nil {
			changed.leaders = maps.Clone(r.leaders)
		}
		changed.leaders[l.Shard] = l.ApiAddr
	}
	if changed.leaders != nil {
		m.store(&changed)
	}
}

// store puts new routes in force. mu is held.
func (m *chart) store(r *routes) {
	r.look()
	m.routes.Store(r)
	m.c.out.connect(r)
}

// forget takes back that a shard is led at an address.
func (m *chart) forget(shard int32, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.routes.Load()
	if r == nil || shard < 0 || r.leaders[uint32(shard)] != address {
		return
	}
	changed := *r
	changed.leaders = maps.Clone(r.leaders)
	delete(changed.leaders, uint32(shard))
	m.store(&changed)
}

// mayDial says whether the client should connect to an address that a node gives as its own. One that means any interface leads nowhere, one
// of loopback leads to another machine's node only if the client came by loopback itself, and credentials do not travel unencrypted.
func (c *Client) mayDial(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || port == "0" {
		return false
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return false
	}
	loopback := areLoopback([]string{address})
	return loopback == areLoopback(c.hosts) && (loopback || c.opts.authorization == "" || c.opts.tls != nil)
}
