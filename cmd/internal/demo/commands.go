package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/quipudb/quipu/cmd/internal/shell"
)

// Stage is a cluster with a live writer, and the commands that do harm to it.
type Stage struct {
	Cluster *Cluster
	Client  *client.Client
	Traffic *Traffic
	Out     io.Writer
}

// Commands are those that a shell gets.
func (s *Stage) Commands() []shell.Command {
	return []shell.Command{
		{Name: `\kill`, Arg: "N", Help: "end node N without a word to the others", Run: s.numbered(s.kill)},
		{Name: `\restart`, Arg: "N", Help: "start node N again", Run: s.numbered(s.restart)},
		{Name: `\isolate`, Arg: "N", Help: "cut node N off from everybody", Run: s.numbered(s.isolate)},
		{Name: `\heal`, Help: "mend all connections", Run: func(context.Context, string) error { return s.heal() }},
		{Name: `\status`, Help: "nodes, leaders, and the writer's books against the database", Run: func(ctx context.Context, _ string) error { return s.Status(ctx) }},
	}
}

// numbered reads the number of a node.
func (s *Stage) numbered(run func(context.Context, int) error) func(context.Context, string) error {
	return func(ctx context.Context, arg string) error {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return fmt.Errorf("which node? say its number, 1 to %d, not %q", len(s.Cluster.nodes), arg)
		}
		return run(ctx, n)
	}
}

func (s *Stage) say(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format+"\n", args...)
	return err
}

func (s *Stage) kill(_ context.Context, n int) error {
	if err := s.Cluster.Kill(n); err != nil {
		return err
	}
	return s.say("node %d is gone%s", n, s.rest())
}

func (s *Stage) restart(ctx context.Context, n int) error {
	if err := s.Cluster.Restart(ctx, n); err != nil {
		return err
	}
	return s.say("node %d runs again and gets what it missed", n)
}

func (s *Stage) isolate(_ context.Context, n int) error {
	if err := s.Cluster.Isolate(n); err != nil {
		return err
	}
	return s.say("node %d reaches nobody, and nobody reaches it%s", n, s.rest())
}

func (s *Stage) heal() error {
	s.Cluster.Heal()
	return s.say("all nodes that run reach each other")
}

// rest says what a majority means for the nodes that are left.
func (s *Stage) rest() string {
	states := s.Cluster.States()
	up := 0
	for _, n := range states {
		if n.State == "running" {
			up++
		}
	}
	if 2*up <= len(states) {
		return fmt.Sprintf("; %d of %d nodes are no majority: writes and strict reads wait, and nothing is lost (\\heal or \\restart)", up, len(states))
	}
	return fmt.Sprintf("; %d of %d nodes elect new leaders where it led", up, len(states))
}

// statusTimeout bounds what Status waits for; an election takes a second or so.
const statusTimeout = 10 * time.Second

// lookPause is between two looks at a cluster that is not ready.
const lookPause = 50 * time.Millisecond

// Status prints the nodes and the balance of the writer. A balance that is not exact is an error.
func (s *Stage) Status(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	w, err := render.New(s.Out, "table", []render.Column{{Name: "node", Numeric: true}, {Name: "id"}, {Name: "state"}, {Name: "leads"}, {Name: "api"}})
	if err != nil {
		return err
	}
	leads, unknown := s.leads(ctx)
	for _, n := range s.Cluster.States() {
		row := []any{int64(n.Number), n.ID, n.State, strings.Join(leads[n.ID], " "), n.API}
		if unknown != nil {
			row[3] = "?"
		}
		if err := w.Row(row); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return s.balance(ctx)
}

// leads are the groups that each node leads. While a leader of the meta group is being elected it asks again.
func (s *Stage) leads(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout/2)
	defer cancel()
	m, err := s.Client.Map(ctx)
	for err != nil && ctx.Err() == nil {
		time.Sleep(lookPause)
		m, err = s.Client.Map(ctx)
	}
	out := map[string][]string{}
	for _, g := range m.Groups {
		out[g.Leader] = append(out[g.Leader], g.Group)
	}
	return out, err
}

func (s *Stage) balance(ctx context.Context) error {
	b, err := s.Traffic.Compare(ctx)
	if err != nil {
		return s.say("the writer's books cannot be compared now: %v", err)
	}
	return s.tell(b)
}

func (s *Stage) tell(b Balance) error {
	if len(b.Wrong) > 0 {
		return fmt.Errorf("the database is wrong: %s", strings.Join(b.Wrong, "; "))
	}
	return s.say("the writer's books: %d    the database: %d    exact, cell by cell", b.Booked, b.Counted)
}

// settleTimeout bounds how long the end of the piece waits for a cluster that nothing is done to any more.
const settleTimeout = time.Minute

// settled compares the books once more, and waits until they can be compared.
func (s *Stage) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	b, err := s.Traffic.Compare(ctx)
	for err != nil && ctx.Err() == nil {
		time.Sleep(lookPause)
		b, err = s.Traffic.Compare(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.say("\nat the end"); err != nil {
		return err
	}
	return s.tell(b)
}

// Act plays a short piece for those who only watch: the node that leads dies and comes back, the one that leads then is cut off and comes
// back, and after each the books are compared.
func (s *Stage) Act(ctx context.Context) error {
	killed, err := s.leader(ctx)
	if err == nil {
		err = s.play(ctx, `\status`, fmt.Sprintf(`\kill %d`, killed), `\status`, fmt.Sprintf(`\restart %d`, killed))
	}
	if err != nil {
		return err
	}
	isolated, err := s.leader(ctx)
	if err == nil {
		err = s.play(ctx, fmt.Sprintf(`\isolate %d`, isolated), `\status`, `\heal`, `\status`)
	}
	if err != nil {
		return err
	}
	return s.settled(ctx)
}

// leader is the number of the node that leads the meta group.
func (s *Stage) leader(ctx context.Context) (int, error) {
	leads, err := s.leads(ctx)
	if err != nil {
		return 0, err
	}
	for _, n := range s.Cluster.States() {
		if slices.Contains(leads[n.ID], "meta") {
			return n.Number, nil
		}
	}
	return 0, errors.New("demo: no node leads the meta group")
}

// play runs commands as if somebody had typed them.
func (s *Stage) play(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if err := s.say("\ndemo> %s", line); err != nil {
			return err
		}
		word, arg, _ := strings.Cut(line, " ")
		at := slices.IndexFunc(s.Commands(), func(c shell.Command) bool { return c.Name == word })
		if at < 0 {
			return fmt.Errorf("demo: no command %s", word)
		}
		if err := s.Commands()[at].Run(ctx, arg); err != nil {
			return err
		}
	}
	return nil
}
