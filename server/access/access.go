// Package access says who calls and what they may do. Edges ask it; they know nothing of roles themselves.
//
//	c := access.New(directory, access.Options{})
//	caller, err := c.Authenticate(ctx, access.Credentials{Authorization: header, Remote: "10.0.0.7"})
//	err = caller.Table(table, schema.Insert)
//	err = access.RPC["/quipu.api.v1.Cluster/Status"].Check(caller, request)
//
// RPC, SQL and HTTP in rules.go are the whole of what is asked for: what has no rule there is refused.
//
// As long as no role exists a node is open: it serves its own machine, and callers name themselves. From the first role on everybody
// has to prove who they are, by a password or a token, and may do what was granted to them.
package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Directory is roles, grants and tokens as of one instant. It does not change.
type Directory interface {
	// Closed reports whether a role exists.
	Closed() bool
	// FindRole gives a role, or nil.
	FindRole(name string) *schema.Role
	Token(hash [32]byte) (*schema.Token, bool)
	// Privileges are those of a role on a table, or for id 0 on the system, with those of its memberships and of everybody.
	Privileges(role string, id schema.TableID) (held, option schema.Privilege)
	// FindTable and TableByID give a table, or nil. Database and schema of the name are filled in.
	FindTable(name schema.Name) *schema.Table
	TableByID(id schema.TableID) *schema.Table
	// Time is the log time, Unix milliseconds.
	Time() int64
}

// Options of a Control.
type Options struct {
	Now func() time.Time // default time.Now
	// Heard reports whether the directory has been the newest one since this process began. As long as it has not, a directory without
	// roles proves nothing: the first role may be newer than it. Default: always.
	Heard func() bool
	// Unheard is how long the directory may have missed changes, because the node has not heard from the meta group. Default: never.
	Unheard func() time.Duration
}

// Control authenticates callers.
type Control struct {
	view    func() Directory
	now     func() time.Time
	heard   func() bool
	unheard func() time.Duration
	secret  [32]byte      // of this process: salts of unknown users, and keys of proven
	slots   chan struct{} // a token for each password that is being tried

	throttle throttle

	mu     sync.Mutex // guards proven
	proven map[[32]byte]schema.Verifier
}

// provenMax bounds the passwords that need not be tried again. All are forgotten when there are more.
const provenMax = 4096

// New makes a control over the newest directory.
func New(view func() Directory, o Options) *Control {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Heard == nil {
		o.Heard = func() bool { return true }
	}
	if o.Unheard == nil {
		o.Unheard = func() time.Duration { return 0 }
	}
	c := &Control{view: view, now: o.Now, heard: o.Heard, unheard: o.Unheard, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), proven: map[[32]byte]schema.Verifier{}}
	c.throttle.now = o.Now
	rand.Read(c.secret[:])
	return c
}

// Unguarded is a control without roles: everybody may do everything.
func Unguarded() *Control { return New(func() Directory { return nobody{} }, Options{}) }

// nobody is a directory without roles.
type nobody struct{}

func (nobody) Closed() bool                                                      { return false }
func (nobody) FindRole(string) *schema.Role                                      { return nil }
func (nobody) Token([32]byte) (*schema.Token, bool)                              { return nil, false }
func (nobody) FindTable(schema.Name) *schema.Table                               { return nil }
func (nobody) TableByID(schema.TableID) *schema.Table                            { return nil }
func (nobody) Time() int64                                                       { return 0 }
func (nobody) Privileges(string, schema.TableID) (held, option schema.Privilege) { return 0, 0 }

// Credentials are what a request brings along.
type Credentials struct {
	Authorization string // Bearer with a token, or Basic with name and password
	Claimed       string // the name that the caller gives itself; it must be its own once there are roles
	Remote        string // address without a port
}

// anonymous is who calls without a name while there are no roles.
const anonymous = "local"

// Authenticate says who calls, as a public error if they cannot prove it.
func (c *Control) Authenticate(ctx context.Context, p Credentials) (*Caller, error) {
	if !c.view().Closed() {
		if err := c.letIn(); err != nil {
			return nil, err
		}
		if err := validClaim(p.Claimed); err != nil {
			return nil, err
		}
		if p.Claimed == "" {
			p.Claimed = anonymous
		}
		return &Caller{control: c, Name: p.Claimed, open: true}, nil
	}
	caller, err := c.prove(ctx, p)
	if err != nil {
		return nil, err
	}
	if p.Claimed != "" && p.Claimed != caller.Name {
		return nil, errcode.New(errcode.PermissionDenied, "the request names principal %q and proves to be %q", p.Claimed, caller.Name).
			WithHint("leave Quipu-Principal out: the credentials say who calls")
	}
	if _, err := caller.role(); err != nil {
		return nil, err
	}
	return caller, nil
}

// letIn says whether the absence of roles lets everybody in.
func (c *Control) letIn() error {
	if c.heard() {
		return nil
	}
	return errcode.New(errcode.Unavailable, "this node knows of no role and has not heard from the others since it started, so that it lets nobody in").
		After(200 * time.Millisecond).WithHint("try again when it has reached the leader of the meta group")
}

// claimBytesMax bounds the name of a caller, as the gateway's header does.
const claimBytesMax = 128

func validClaim(name string) error {
	if len(name) > claimBytesMax || !utf8.ValidString(name) {
		return errcode.New(errcode.Invalid, "quipu-principal is not valid UTF-8 or longer than %d bytes", claimBytesMax)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return errcode.New(errcode.Invalid, "quipu-principal holds a character that does not print")
		}
	}
	return nil
}

const howToProve = "send Authorization: Bearer <token>, or Basic with name and password"

func (c *Control) prove(ctx context.Context, p Credentials) (*Caller, error) {
	scheme, rest, _ := strings.Cut(p.Authorization, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case p.Authorization == "":
		return nil, errcode.New(errcode.Unauthenticated, "this server asks who calls").WithHint(howToProve)
	case strings.EqualFold(scheme, "bearer"):
		hash := HashToken(rest)
		t, err := c.token(hash)
		if err != nil {
			return nil, err
		}
		return &Caller{control: c, Name: t.Role, token: &hash}, nil
	case strings.EqualFold(scheme, "basic"):
		text, err := base64.StdEncoding.DecodeString(rest)
		name, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return nil, errcode.New(errcode.Unauthenticated, "the Basic credentials do not decode").WithHint(howToProve)
		}
		return &Caller{control: c, Name: name}, c.byPassword(ctx, name, password, p.Remote)
	}
	return nil, errcode.New(errcode.Unauthenticated, "the authorization scheme %.20q is not known", scheme).WithHint(howToProve)
}

// token finds a token that is good now. It is looked up by the hash of 256 random bits: how long that takes tells nothing of use.
func (c *Control) token(hash [32]byte) (*schema.Token, error) {
	view := c.view()
	t, ok := view.Token(hash)
	if !ok {
		return nil, errcode.New(errcode.Unauthenticated, "the token is not known").WithHint("it may have been dropped, or have ended; CREATE TOKEN makes one")
	}
	if t.Expires != 0 && t.Expires <= max(view.Time(), c.now().UnixMilli()) { // an idle group's log time stands still
		return nil, errcode.New(errcode.Unauthenticated, "token %q of role %q has ended", t.Name, t.Role).WithHint("CREATE TOKEN makes a new one")
	}
	return t, nil
}

// byPassword proves a password that came as text. A right one is remembered for as long as the role keeps its verifier, since trying
// takes a millisecond and HTTP sends it with every request.
func (c *Control) byPassword(ctx context.Context, name, password, remote string) error {
	v, known := c.Verifier(name)
	key := c.provenKey(name, password)
	c.mu.Lock()
	was, ok := c.proven[key]
	c.mu.Unlock()
	if ok && known && subtle.ConstantTimeCompare(was.StoredKey, v.StoredKey) == 1 {
		return nil
	}
	done, err := c.Attempt(name, remote)
	if err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		done(false, false)
		return errcode.From(ctx.Err())
	}
	good := Proves(v, password) && known
	<-c.slots
	done(true, good)
	if !good {
		return errPassword(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.proven) >= provenMax {
		clear(c.proven)
	}
	c.proven[key] = v
	return nil
}

func errPassword(name string) error {
	return errcode.New(errcode.Unauthenticated, "password authentication failed for user %q", name)
}

func (c *Control) provenKey(name, password string) [32]byte {
	m := hmac.New(sha256.New, c.secret[:])
	m.Write([]byte(name + "\x00" + password))
	return [32]byte(m.Sum(nil))
}

// Closed reports whether callers must prove who they are.
func (c *Control) Closed() bool { return c.view().Closed() }

// Open reports whether everybody may do everything, without a proof.
func (c *Control) Open() bool { return !c.Closed() && c.heard() }

// Verifier is what the password of a role is proved against. For a role that does not exist, or has no password that is good, it
// is one that nothing proves, the same each time, so that such a role looks like any other.
func (c *Control) Verifier(name string) (v schema.Verifier, known bool) {
	if r := c.view().FindRole(name); r != nil && r.HasPassword() && (r.ValidUntil == 0 || r.ValidUntil > c.now().UnixMilli()) {
		return r.Verifier, true
	}
	key := func(what string) []byte {
		m := hmac.New(sha256.New, c.secret[:])
		m.Write([]byte(what + name))
		return m.Sum(nil)
	}
	return schema.Verifier{Iterations: schema.IterationsMin, Salt: key("salt")[:16], StoredKey: key("stored"), ServerKey: key("server")}, false
}

// Login is the caller called name. It has proved to be that, or there was no role when it was asked.
func (c *Control) Login(name string, proved bool) (*Caller, *schema.Role, error) {
	if !proved {
		if err := c.letIn(); err != nil {
			return nil, nil, err
		}
		return &Caller{control: c, Name: name, open: true}, nil, nil
	}
	caller := &Caller{control: c, Name: name}
	r, err := caller.role()
	return caller, r, err
}

// TrustMax is how long a node goes on to trust roles and grants that the meta group has not confirmed: what was revoked meanwhile is not known
// there. docs/decisions/0222 says why, and whom it does not concern.
const TrustMax = 5 * time.Minute

// trusted says why a role is not served by what the node knows, or nil.
func (c *Control) trusted(r *schema.Role) error {
	d := c.unheard()
	if d <= TrustMax || r.Superuser {
		return nil
	}
	return errcode.New(errcode.Unavailable, "this node has not heard from the meta group for %v, and what role %q may do could have changed", d.Round(time.Second), r.Name).
		WithHint("ask another node; superusers are let in here, to see what is wrong").After(time.Second)
}

// Settings are those that sessions of a role begin with.
func (c *Control) Settings(name string) map[string]string {
	if r := c.view().FindRole(name); r != nil {
		return r.Settings
	}
	return nil
}
