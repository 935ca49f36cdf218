package shell

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/jedib0t/go-pretty/v6/text"
)

// errPagerLeft says that the person has left the pager before it had everything.
var errPagerLeft = errors.New("the pager has ended")

// pager keeps what is written until it no longer fits on the terminal, and then gives it and what follows to $PAGER. What fits is printed.
type pager struct {
	out           io.Writer
	width, height int
	held          []byte
	lines         int
	line          []byte // the last one, so far
	cmd           *exec.Cmd
	in            io.WriteCloser
}

func newPager(t *Terminal, out io.Writer) *pager {
	p := &pager{out: out}
	p.width, p.height = t.Size()
	return p
}

func (p *pager) Write(b []byte) (int, error) {
	if p.in != nil {
		return p.pass(b)
	}
	p.held = append(p.held, b...)
	if !p.fits(b) && p.start() {
		if _, err := p.pass(p.held); err != nil {
			return 0, err
		}
		p.held = nil
	}
	return len(b), nil
}

func (p *pager) pass(b []byte) (int, error) {
	if _, err := p.in.Write(b); err != nil {
		return 0, errPagerLeft
	}
	return len(b), nil
}

// fits says whether the terminal shows everything so far, with a line left for the prompt.
func (p *pager) fits(b []byte) bool {
	wide := false
	for _, c := range b {
		if c != '\n' {
			p.line = append(p.line, c)
			continue
		}
		p.lines++
		wide = wide || text.StringWidth(string(p.line)) > p.width
		p.line = p.line[:0]
	}
	return p.lines < p.height && !wide
}

// start runs the pager. Without one the output goes to the terminal as it is.
func (p *pager) start() bool {
	command := pagerCommand()
	if command == "" {
		return false
	}
	p.cmd = exec.Command("sh", "-c", command)
	p.cmd.Stdout, p.cmd.Stderr = os.Stdout, os.Stderr
	if _, set := os.LookupEnv("LESS"); !set {
		p.cmd.Env = append(os.Environ(), "LESS=FRSX") // leave if it fits, take colours, cut long lines, leave the screen as it is
	}
	in, err := p.cmd.StdinPipe()
	if err != nil || p.cmd.Start() != nil {
		p.cmd = nil
		return false
	}
	p.in = in
	return true
}

// pagerCommand is $QUIPU_PAGER, else $PAGER, else less if there is one. Set to nothing, or to cat, there is none.
func pagerCommand() string {
	for _, name := range []string{"QUIPU_PAGER", "PAGER"} {
		if command, set := os.LookupEnv(name); set {
			if command == "cat" {
				return ""
			}
			return command
		}
	}
	if _, err := exec.LookPath("less"); err == nil {
		return "less"
	}
	return ""
}

// finish prints what was held, or waits until the person leaves the pager.
func (p *pager) finish() error {
	if p.in == nil {
		_, err := p.out.Write(p.held)
		return err
	}
	p.in.Close() //nolint: the pager may be gone
	if err := p.cmd.Wait(); err != nil {
		var left *exec.ExitError
		if !errors.As(err, &left) {
			return fmt.Errorf("pager: %w", err)
		}
	}
	return nil
}
