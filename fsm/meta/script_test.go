package meta

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/fsmtest"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

const t0 = 1_700_000_000_000

// rig is one replica of the meta group.
type rig struct {
	*fsmtest.Rig
	m   *Machine
	now int64
}

func newRig(t testing.TB) *rig {
	r := &rig{now: t0}
	r.Rig = fsmtest.New(t, func() fsm.Machine {
		r.m = New()
		return r.m
	})
	r.do(&command.TermStart{})
	return r
}

// do stamps and applies a command.
func (r *rig) do(c command.Command) *Result {
	c.SetStamp(r.now)
	return r.Apply(c).(*Result)
}

// TestScripts runs testdata/*.txt. A step is commands, one a line: a verb and key=value arguments.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r := newRig(t)
			sub := r.m.Feed().Subscribe(r.m.View().Revision)
			fsmtest.Script(t, path, func(t *testing.T, step string) string {
				var out []string
				for line := range strings.Lines(step) {
					if strings.HasPrefix(line, "#") {
						continue
					}
					if s := strings.TrimSpace(r.line(t, &sub, strings.Fields(line))); s != "" {
						out = append(out, s)
					}
				}
				return strings.Join(out, "\n")
			})
		})
	}
}

type args map[string]string

func (a args) num(key string) uint64 {
	n, _ := strconv.ParseUint(a[key], 10, 64)
	return n
}

func (a args) millis(key string) int64 {
	d, _ := time.ParseDuration(a[key])
	return d.Milliseconds()
}

func (r *rig) line(t *testing.T, sub **Sub, words []string) string {
	a := args{}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		a[k] = v
	}
	switch words[0] {
	case "clock": // the leader's clock goes on
		r.now += a.millis("by")
		return ""
	case "restart":
		r.Checkpoint()
		r.Crash()
		*sub = r.m.Feed().Subscribe(r.m.View().Revision)
		return ""
	case "view":
		return r.show()
	case "changes":
		return changes(*sub)
	case "skip": // so many entries pass
		for range a.num("entries") {
			r.do(&command.Tick{})
		}
		return ""
	case "once": // once=ID since=INDEX, then a command
		return result(r.do(&command.Once{ID: [16]byte{byte(a.num("once"))}, Since: a.num("since"), Command: parse(words[3], a)}))
	}
	c := parse(words[0], a)
	if c == nil {
		t.Fatalf("no such command: %s", words[0])
	}
	return result(r.do(c))
}

func parse(verb string, a args) command.Command {
	switch verb {
	case "tick":
		return &command.Tick{}
	case "bootstrap":
		return &command.Bootstrap{ClusterID: [16]byte{0xab}, Incarnation: 5, Slots: *schema.EvenSlotMap(2)}
	case "open":
		return &command.OpenSession{Principal: a["by"], Durable: a["durable"] == "yes"}
	case "keepalive":
		return &command.KeepAlive{IDs: []uint64{a.num("id")}}
	case "close":
		return &command.CloseSession{ID: a.num("id"), Principal: a["by"]}
	case "create":
		return &command.CreateTable{Table: table(a), By: a["by"]}
	case "role":
		return role(a)
	case "droprole":
		return &command.DropRole{Name: a["name"], By: a["by"]}
	case "grant", "revoke":
		c := &command.Grant{By: a["by"], Revoke: verb == "revoke", Option: a["option"] == "yes"}
		for name := range strings.SplitSeq(a["what"], ",") {
			p, _ := schema.PrivilegeByName(name)
			c.Privileges |= p
		}
		for id := range strings.FieldsFuncSeq(a["on"], func(r rune) bool { return r == ',' }) {
			n, _ := strconv.ParseUint(id, 10, 64)
			c.Tables = append(c.Tables, schema.TableID(n))
		}
		c.Roles = strings.Split(a["to"], ",")
		return c
	case "token":
		t := schema.Token{Role: a["of"], Name: a["name"], Hash: [32]byte{byte(a.num("hash"))}, By: a["by"]}
		if a["until"] != "" {
			t.Expires = t0 + a.millis("until")
		}
		return &command.PutToken{Token: t}
	case "droptoken":
		return &command.DropToken{Role: a["of"], Name: a["name"], By: a["by"]}
	case "alter":
		t := table(a)
		t.ID, t.Version = schema.TableID(a.num("id")), a.num("version")
		return &command.AlterTable{Table: t, By: a["by"]}
	case "drop":
		return &command.DropTable{ID: schema.TableID(a.num("id"))}
	case "truncate":
		return &command.TruncateTable{ID: schema.TableID(a.num("id"))}
	case "dropwindows":
		return &command.DropWindows{ID: schema.TableID(a.num("id")), Before: int64(a.num("before"))}
	case "set":
		c := &command.SetContext{Name: a["name"], IfVersion: a.num("if"), Delete: a["delete"] == "yes", RevertTo: a.num("revert"), By: a["by"], Values: map[string]string{}}
		for _, k := range []string{"sample_rate", "window_sec", "label"} {
			if v, ok := a[k]; ok {
				c.Values[k] = v
			}
		}
		if a["if"] == "any" {
			c.IfVersion = command.AnyVersion
		}
		return c
	case "import":
		return &command.PutImport{Principal: a["by"], IfVersion: a.num("if"), Again: a["again"] == "yes", Import: command.Import{
			ID: a["id"], Table: schema.TableID(a.num("table")), Mapping: a["mapping"], Session: a.num("session"), ChunksDone: a.num("done")}}
	case "node":
		return &command.PutNode{Node: command.Node{ID: a["id"], APIAddr: a["api"]}}
	case "nodestate":
		return &command.SetNodeState{ID: a["id"], State: command.NodeState(a.num("state"))}
	case "replicas":
		c := &command.SetReplicas{Group: uint32(a.num("group"))}
		for _, node := range strings.Split(a["nodes"], ",") {
			name, voter := strings.CutSuffix(node, "!")
			c.Replicas = append(c.Replicas, command.Replica{Node: name, Voter: voter})
		}
		return c
	case "acquire", "renew", "release":
		op := map[string]command.LeaseOp{"acquire": command.Acquire, "renew": command.Renew, "release": command.Release}[verb]
		return &command.Lease{Op: op, Name: a["name"], Holder: a["holder"], Fence: a.num("fence"), TTL: a.millis("ttl")}
	}
	return nil
}

// role has the attributes of is=super,login,password,ends.
func role(a args) *command.PutRole {
	is := strings.Split(a["is"], ",")
	c := &command.PutRole{By: a["by"], IfVersion: a.num("if"), Role: schema.Role{Name: a["name"], ConnectionsMax: -1,
		Superuser: slices.Contains(is, "super"), Login: slices.Contains(is, "login")}}
	if slices.Contains(is, "password") {
		c.Role.Verifier = schema.Verifier{Iterations: 4096, Salt: make([]byte, 16), StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}
	}
	if slices.Contains(is, "ends") {
		c.Role.ValidUntil = t0
	}
	if a["setting"] != "" {
		c.Role.Settings = map[string]string{"statement_timeout": a["setting"]}
	}
	if a["in"] != "" {
		c.Role.MemberOf = strings.Split(a["in"], ",")
	}
	return c
}

// table has text columns, written as cols=a,b!,c where b! is NOT NULL.
func table(a args) schema.Table {
	t := schema.Table{Measures: 1, Name: schema.Name{Database: "quipu", Schema: "public", Table: a["name"]},
		Window: time.Duration(a.millis("window")) * time.Millisecond, Retention: time.Duration(a.millis("retention")) * time.Millisecond}
	for _, col := range strings.Split(a["cols"], ",") {
		name, notNull := strings.CutSuffix(col, "!")
		t.Dims = append(t.Dims, schema.Dimension{Name: name, Type: schema.Text, NotNull: notNull, Default: schema.Null})
	}
	if a["key"] != "" {
		t.PartitionBy = []int{int(a.num("key"))}
	}
	return t
}

func result(r *Result) string {
	s := fmt.Sprintf("%d: ", r.Index)
	if r.Refusal != nil {
		s += r.Refusal.Error()
	} else {
		s += "ok"
	}
	if r.Session.ID != 0 {
		s += fmt.Sprintf(" session %d of %s for %v", r.Session.ID, r.Session.Principal, r.Session.TTL())
	}
	if len(r.Ended) > 0 {
		s += fmt.Sprintf(" ended %v", r.Ended)
	}
	if r.Table != nil {
		s += fmt.Sprintf(" table %d version %d", r.Table.ID, r.Table.Version)
	}
	if r.Record != nil {
		s += " " + record(*r.Record)
	}
	if r.Import != nil {
		s += fmt.Sprintf(" import %s version %d mapping %s done %d", r.Import.ID, r.Import.Version, r.Import.Mapping, r.Import.ChunksDone)
	}
	if r.Lease != nil {
		s += " " + lease(r.Lease)
	}
	if r.Role != nil {
		s += " " + roleText(r.Role)
	}
	return s
}

func record(r schema.Record) string {
	return fmt.Sprintf("%s version %d by %s %v deleted=%v", r.Name, r.Version, r.ModifiedBy, r.Values, r.Deleted)
}

func lease(l *Lease) string {
	return fmt.Sprintf("lease %s of %s fence %d until %+ds", l.Name, l.Holder, l.Fence, (l.Deadline-t0)/1000)
}

func roleText(r *Role) string {
	s := fmt.Sprintf("role %s version %d", r.Name, r.Version)
	for _, flag := range []struct {
		on   bool
		word string
	}{{r.Superuser, "super"}, {r.Login, "login"}, {r.HasPassword(), "password"}, {r.ValidUntil != 0, "ends"}} {
		if flag.on {
			s += " " + flag.word
		}
	}
	if len(r.Settings) > 0 {
		s += fmt.Sprint(" ", r.Settings)
	}
	if len(r.MemberOf) > 0 {
		s += " in " + strings.Join(r.MemberOf, ",")
	}
	return s
}

func (r *rig) show() string {
	v := r.m.View()
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d time %+ds cluster %q sessions %d catalog %d ended %d\n", v.Revision, (v.LogTime-t0)/1000, v.Cluster(), v.Sessions(), v.Catalog, v.Ended)
	dead := v.DeadSessions()
	fmt.Fprintf(&b, "dead ordinary %v durable %v\n", dead.Ordinary, dead.Durable)
	for _, t := range v.Tables() {
		cutoff, _ := v.Cutoff(t.ID)
		var dims []string
		for _, d := range t.Dims {
			dims = append(dims, d.Name)
		}
		fmt.Fprintf(&b, "table %d %s version %d (%s) cutoff %d\n", t.ID, t.Name, t.Version, strings.Join(dims, ","), cutoff)
		if named, ok := v.TableByName(t.Name); !ok || named != t {
			fmt.Fprintf(&b, "  not found by its name\n")
		}
	}
	for _, rec := range v.Contexts("") {
		fmt.Fprintf(&b, "context %s, %d versions\n", record(rec), len(v.History(rec.Name)))
	}
	for _, m := range v.Imports() {
		fmt.Fprintf(&b, "import %s version %d of table %d done %d\n", m.ID, m.Version, m.Table, m.ChunksDone)
	}
	for _, n := range v.Nodes() {
		fmt.Fprintf(&b, "node %s at %s", n.ID, n.APIAddr)
		if s := v.NodeState(n.ID); s != command.NodeActive {
			fmt.Fprintf(&b, " %v", s)
		}
		b.WriteString("\n")
	}
	for _, group := range slices.Sorted(maps.Keys(v.replicas)) {
		fmt.Fprintf(&b, "group %d on %v\n", group, v.Replicas(group))
	}
	for _, l := range sorted(v.leases) {
		fmt.Fprintln(&b, lease(l))
	}
	for _, role := range v.Roles() {
		fmt.Fprintln(&b, roleText(role))
	}
	for _, id := range slices.Sorted(maps.Keys(v.grants)) {
		for _, name := range slices.Sorted(maps.Keys(v.grants[id])) {
			g := v.grants[id][name]
			fmt.Fprintf(&b, "grant on %d to %s: %v", id, name, g.Held)
			if g.Option != 0 {
				fmt.Fprintf(&b, "; may grant %v", g.Option)
			}
			b.WriteString("\n")
		}
	}
	for _, t := range v.Tokens() {
		fmt.Fprintf(&b, "token %s of %s hash %d", t.Name, t.Role, t.Hash[0])
		if t.Expires != 0 {
			fmt.Fprintf(&b, " until %+ds", (t.Expires-t0)/1000)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func changes(sub *Sub) string {
	list, _, err := sub.poll()
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%d kind %d", c.Revision, c.Kind)
		if c.TableID != 0 {
			fmt.Fprintf(&b, " table %d", c.TableID)
		}
		if c.Before != 0 {
			fmt.Fprintf(&b, " before %d", c.Before)
		}
		if c.Record != nil {
			fmt.Fprintf(&b, " %s", record(*c.Record))
		}
		if c.Name != "" {
			fmt.Fprintf(&b, " name %s", c.Name)
		}
		b.WriteString("\n")
	}
	return b.String()
}
