package access_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// book is a directory made by hand.
type book struct {
	roles  map[string]*schema.Role
	tokens map[[32]byte]*schema.Token
	held   map[string]schema.Privilege // on table 7
	time   int64
}

func (b *book) Closed() bool                      { return len(b.roles) > 0 }
func (b *book) FindRole(name string) *schema.Role { return b.roles[name] }
func (b *book) Token(h [32]byte) (*schema.Token, bool) {
	t, ok := b.tokens[h]
	return t, ok
}
func (b *book) Privileges(role string, id schema.TableID) (held, option schema.Privilege) {
	return b.held[role], 0
}
func (b *book) FindTable(schema.Name) *schema.Table    { return nil }
func (b *book) TableByID(schema.TableID) *schema.Table { return nil }
func (b *book) Time() int64                            { return b.time }

func newBook(t *testing.T) *book {
	t.Helper()
	v, err := access.NewVerifier("Wüste 7")
	if err != nil {
		t.Fatal(err)
	}
	return &book{tokens: map[[32]byte]*schema.Token{}, held: map[string]schema.Privilege{}, roles: map[string]*schema.Role{
		"root":  {Name: "root", Login: true, Superuser: true, Verifier: v},
		"ann":   {Name: "ann", Login: true, Verifier: v},
		"bare":  {Name: "bare", Login: true},
		"ended": {Name: "ended", Login: true, Verifier: v, ValidUntil: 1},
		"group": {Name: "group", Verifier: v},
	}}
}

func (b *book) control() *access.Control {
	return access.New(func() access.Directory { return b }, access.Options{})
}

func basic(name, password string) access.Credentials {
	return access.Credentials{Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password)), Remote: "10.0.0.7"}
}

// TestVerifierOfRFC7677 derives the keys of the example of RFC 7677 §3: its client proof and server signature rest on them.
func TestVerifierOfRFC7677(t *testing.T) {
	v, ok := access.ParseVerifier("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	if !ok || v.Validate() != nil {
		t.Fatalf("%v, %v", ok, v.Validate())
	}
	if !access.Proves(v, "pencil") {
		t.Error("pencil does not prove it")
	}
	for _, wrong := range []string{"", "pencil ", "Pencil"} {
		if access.Proves(v, wrong) {
			t.Errorf("%q proves it", wrong)
		}
	}
}

func TestNewVerifier(t *testing.T) {
	a, err := access.NewVerifier("secret")
	b, _ := access.NewVerifier("secret")
	if err != nil || a.Validate() != nil || string(a.Salt) == string(b.Salt) || !access.Proves(a, "secret") {
		t.Errorf("%+v, %v", a, err)
	}
	// SASLprep: a no-break space is a space, a soft hyphen is nothing.
	if c, err := access.NewVerifier("a\u00a0b\u00ad"); err != nil || !access.Proves(c, "a b") {
		t.Errorf("prepared forms are not the same: %v", err)
	}
	for _, bad := range []string{
		"md5" + strings.Repeat("0", 32),
		"SCRAM-SHA-256$1:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"SCRAM-SHA-256$4096:AA==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AA==:AA==",
	} {
		if _, err := access.NewVerifier(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func FuzzParseVerifier(f *testing.F) {
	f.Add("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	f.Add("SCRAM-SHA-256$$:")
	f.Add("SCRAM-SHA-256$-1:$:")
	f.Fuzz(func(t *testing.T, text string) {
		if v, ok := access.ParseVerifier(text); ok && !strings.HasPrefix(text, "SCRAM-SHA-256$") {
			t.Errorf("%q is %+v", text, v)
		}
	})
}

func TestAuthenticate(t *testing.T) {
	b := newBook(t)
	text, hash := access.NewToken()
	b.tokens[hash] = &schema.Token{Role: "ann", Name: "ci"}
	late, lateHash := access.NewToken()
	b.tokens[lateHash] = &schema.Token{Role: "ann", Name: "late", Expires: time.Now().Add(-time.Second).UnixMilli()}
	lost, lostHash := access.NewToken()
	b.tokens[lostHash] = &schema.Token{Role: "nobody", Name: "lost"}
	idle, idleHash := access.NewToken()
	b.time = time.Now().Add(2 * time.Hour).UnixMilli()
	b.tokens[idleHash] = &schema.Token{Role: "ann", Name: "idle", Expires: time.Now().Add(time.Hour).UnixMilli()}
	c := b.control()
	for name, tc := range map[string]struct {
		with access.Credentials
		want string // the caller, or the beginning of the message
	}{
		"token":            {access.Credentials{Authorization: "Bearer " + text}, "ann"},
		"scheme in lower":  {access.Credentials{Authorization: "bearer " + text}, "ann"},
		"own name claimed": {access.Credentials{Authorization: "Bearer " + text, Claimed: "ann"}, "ann"},
		"other name":       {access.Credentials{Authorization: "Bearer " + text, Claimed: "root"}, `the request names principal "root"`},
		"nothing":          {access.Credentials{Claimed: "root"}, "this server asks who calls"},
		"no such token":    {access.Credentials{Authorization: "Bearer " + text[:len(text)-1]}, "the token is not known"},
		"ended token":      {access.Credentials{Authorization: "Bearer " + late}, `token "late" of role "ann" has ended`},
		"ended in the log": {access.Credentials{Authorization: "Bearer " + idle}, `token "idle" of role "ann" has ended`},
		"dropped role":     {access.Credentials{Authorization: "Bearer " + lost}, `role "nobody" does not exist`},
		"other scheme":     {access.Credentials{Authorization: "Digest x"}, "the authorization scheme"},
		"bad base64":       {access.Credentials{Authorization: "Basic !"}, "the Basic credentials do not decode"},
		"no colon":         {access.Credentials{Authorization: "Basic YQ=="}, "the Basic credentials do not decode"},
		"password":         {basic("ann", "Wüste 7"), "ann"},
		"wrong password":   {basic("ann", "Wüste 8"), `password authentication failed for user "ann"`},
		"unknown role":     {basic("eve", "Wüste 7"), `password authentication failed for user "eve"`},
		"no password":      {basic("bare", ""), `password authentication failed for user "bare"`},
		"ended password":   {basic("ended", "Wüste 7"), `password authentication failed for user "ended"`},
		"no login":         {basic("group", "Wüste 7"), `role "group" is not permitted to log in`},
	} {
		caller, err := c.Authenticate(t.Context(), tc.with)
		got := ""
		if err != nil {
			got = errcode.From(err).Message
			if caller != nil {
				t.Errorf("%s: a caller in spite of %v", name, err)
			}
		} else {
			got = caller.Name
		}
		if !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestOpen: without roles callers name themselves and may do everything, until there is one.
func TestOpen(t *testing.T) {
	b := &book{}
	c := b.control()
	caller, err := c.Authenticate(t.Context(), access.Credentials{Claimed: "ann"})
	if err != nil || caller.Name != "ann" || !caller.Superuser() || caller.Table(&schema.Table{ID: 7}, schema.Drop) != nil {
		t.Fatalf("%+v, %v", caller, err)
	}
	if caller, _ := c.Authenticate(t.Context(), access.Credentials{}); caller.Name != "local" {
		t.Errorf("nobody is %q", caller.Name)
	}
	for _, bad := range []string{strings.Repeat("x", 129), "a\x00b", "\xff"} {
		if _, err := c.Authenticate(t.Context(), access.Credentials{Claimed: bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	b.roles = newBook(t).roles // a role with the caller's own name among them
	if err := caller.Statement(&sql.Show{}); !errors.Is(err, errcode.New(errcode.Unauthenticated, "")) {
		t.Errorf("who came while there were no roles goes on: %v", err)
	}
	if caller.Superuser() {
		t.Error("and is still a superuser")
	}
}

// TestRevoked: what was taken away is gone with the next question.
func TestRevoked(t *testing.T) {
	b := newBook(t)
	text, hash := access.NewToken()
	b.tokens[hash] = &schema.Token{Role: "ann", Name: "ci"}
	caller, err := b.control().Authenticate(t.Context(), access.Credentials{Authorization: "Bearer " + text})
	if err != nil {
		t.Fatal(err)
	}
	table := &schema.Table{ID: 7, Name: schema.Name{Table: "visits"}}
	denied := errcode.New(errcode.PermissionDenied, "")
	if err := caller.Table(table, schema.Select); !errors.Is(err, denied) || errcode.From(err).Message != "permission denied for table visits" {
		t.Errorf("without a grant: %v", err)
	}
	b.held["ann"] = schema.Select
	if err := caller.Table(table, schema.Select); err != nil {
		t.Errorf("with a grant: %v", err)
	}
	if err := caller.Table(table, schema.Select|schema.Insert); !errors.Is(err, denied) {
		t.Errorf("with half of it: %v", err)
	}
	delete(b.tokens, hash)
	if err := caller.Table(table, schema.Select); !errors.Is(err, errcode.New(errcode.Unauthenticated, "")) {
		t.Errorf("with a token that is gone: %v", err)
	}
}

// TestThrottle: ten wrong passwords, then one every two seconds, for that role from that address only.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		c := b.control()
		try := func(with access.Credentials) errcode.Code {
			if _, err := c.Authenticate(t.Context(), with); err != nil {
				return errcode.From(err).Code
			}
			return ""
		}
		for i := range 10 {
			if got := try(basic("ann", fmt.Sprint(i))); got != errcode.Unauthenticated {
				t.Fatalf("try %d: %s", i, got)
			}
		}
		if got := try(basic("ann", "Wüste 7")); got != errcode.Busy { // right, but not proven before
			t.Errorf("the eleventh: %q", got)
		}
		elsewhere := basic("ann", "Wüste 7")
		elsewhere.Remote = "10.0.0.8"
		if got := try(elsewhere) + try(basic("root", "Wüste 7")); got != "" {
			t.Errorf("others: %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := try(basic("ann", "x")); got != errcode.Unauthenticated {
			t.Errorf("after two seconds: %q", got)
		}
		if got := try(basic("ann", "y")); got != errcode.Busy {
			t.Errorf("at once after it: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := try(basic("ann", "Wüste 7")); got != "" {
			t.Errorf("the right one: %s", got)
		}
		if got := try(basic("ann", "x")); got != errcode.Unauthenticated {
			t.Errorf("after the right one: %q", got)
		}
	})
}

// TestThrottleIsBounded tries one password each of many roles.
func TestThrottleIsBounded(t *testing.T) {
	c := newBook(t).control()
	for i := range 100_000 {
		done, err := c.Attempt(fmt.Sprint("user", i), "10.0.0.7")
		if err != nil {
			t.Fatal(err)
		}
		done(true, false)
	}
	if n := c.Attempts(); n > 16_384 {
		t.Errorf("%d attempts are remembered", n)
	}
}

// TestProvenPasswordIsForgotten: a right password is not tried again, but a new one takes its place at once.
func TestProvenPasswordIsForgotten(t *testing.T) {
	b := newBook(t)
	c := b.control()
	for range 2 {
		if _, err := c.Authenticate(t.Context(), basic("ann", "Wüste 7")); err != nil {
			t.Fatal(err)
		}
	}
	v, _ := access.NewVerifier("other")
	ann := *b.roles["ann"]
	ann.Verifier = v
	b.roles["ann"] = &ann
	if _, err := c.Authenticate(t.Context(), basic("ann", "Wüste 7")); err == nil {
		t.Error("the old password is still good")
	}
	if _, err := c.Authenticate(t.Context(), basic("ann", "other")); err != nil {
		t.Errorf("the new one: %v", err)
	}
}

func TestAuthenticateEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // the slot may be free
		_, err := newBook(t).control().Authenticate(ctx, basic("ann", "Wüste 7"))
		if err != nil && errcode.From(err).Code != errcode.Canceled {
			t.Fatal(err)
		}
	}
}

// TestEveryStatementHasARule reads the source of the parser: a statement without a rule is one that nobody may run.
func TestEveryStatementHasARule(t *testing.T) {
	verbs := map[string]bool{"CopyFrom": true}
	files, err := filepath.Glob("../../query/sql/ast*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f, ok := n.(*ast.FuncDecl)
			if ok && f.Name.Name == "statement" && f.Recv != nil {
				verbs[f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name] = true
			}
			return true
		})
	}
	if len(verbs) < 20 {
		t.Fatalf("only %d statements were found", len(verbs))
	}
	for v := range verbs {
		if access.SQL[v].Kind == access.Unruled {
			t.Errorf("%s has no rule in access.SQL", v)
		}
	}
	for v := range access.SQL {
		if !verbs[v] {
			t.Errorf("access.SQL has a rule for %s, which is no statement", v)
		}
	}
}

func TestVerb(t *testing.T) {
	for text, want := range map[string]string{"SELECT 1": "Query", "COPY t TO STDOUT": "Copy", "COPY t FROM STDIN": "CopyFrom", "CREATE USER a": "CreateRole"} {
		st, err := sql.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := access.Verb(st[0]); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// TestGrantsEndWithTheirFooting holds that a node which has not heard from the meta group for more than TrustMax serves superusers only, as
// long as it has roles, and everybody again when it has heard.
func TestGrantsEndWithTheirFooting(t *testing.T) {
	b := newBook(t)
	b.held["ann"] = schema.Select
	unheard := access.TrustMax
	c := access.New(func() access.Directory { return b }, access.Options{Unheard: func() time.Duration { return unheard }})
	table := &schema.Table{ID: 7, Name: schema.Name{Table: "t"}}
	ann, err := c.Authenticate(t.Context(), basic("ann", "Wüste 7"))
	if err != nil || ann.Table(table, schema.Select) != nil {
		t.Fatalf("ann while the footing is good: %v, %v", err, ann.Table(table, schema.Select))
	}
	unheard++
	for what, err := range map[string]error{
		"a table": ann.Table(table, schema.Select), "the system": ann.System(schema.Monitor), "a relation": ann.Relation("quipu.tables"),
		"a log-in":          second(c.Authenticate(t.Context(), basic("ann", "Wüste 7"))),
		"a log-in by SCRAM": third(c.Login("ann", true)),
	} {
		if e := errcode.From(err); e == nil || e.Code != errcode.Unavailable || e.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	root, err := c.Authenticate(t.Context(), basic("root", "Wüste 7"))
	if err != nil || root.Table(table, schema.Select) != nil || !root.Superuser() {
		t.Errorf("a superuser is kept out: %v", err)
	}
	b.roles = nil
	if _, err := c.Authenticate(t.Context(), access.Credentials{Claimed: "me"}); err != nil {
		t.Errorf("a node without roles: %v", err)
	}
	b.roles = newBook(t).roles
	if unheard = 0; ann.Table(table, schema.Select) != nil {
		t.Error("ann is kept out after the node has heard again")
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }
