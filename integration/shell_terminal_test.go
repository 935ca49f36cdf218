//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a program at a pseudo-terminal, and what it has printed.
type terminal struct {
	*testing.T
	master *os.File
	out    lockedBuffer
	cmd    *exec.Cmd
	seen   int           // how much of out earlier calls of wait have used up
	ended  chan struct{} // closed when the program has ended
}

// openTerminal runs a program at a terminal of that size.
func openTerminal(t *testing.T, width, height uint16, env []string, name string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	var number uint32
	control, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := control.Control(func(fd uintptr) {
		if n, e := unix.IoctlGetUint32(int(fd), unix.TIOCGPTN); e != nil {
			err = e
		} else if number = n; unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0) != nil {
			err = fmt.Errorf("the terminal stays locked")
		} else {
			err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
		}
	}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("the terminal cannot be opened: %v", err)
	}
	defer slave.Close()
	p := &terminal{T: t, master: master, ended: make(chan struct{}), cmd: exec.Command(name, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		p.cmd.Wait()
		master.Close()
	})
	return p
}

// read takes what the program prints until it ends, and answers where the cursor stands, which line editors ask for.
func (p *terminal) read() {
	defer close(p.ended)
	buf := make([]byte, 4096)
	for {
		n, err := p.master.Read(buf)
		p.out.Write(buf[:n])
		if strings.Contains(string(buf[:n]), "\x1b[6n") {
			p.master.WriteString("\x1b[1;1R")
		}
		if err != nil {
			return // EIO when the last program at the terminal has ended
		}
	}
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]|\r`)

// text is what was printed, without the sequences that move the cursor.
func (p *terminal) text() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return escapes.ReplaceAllString(p.out.b.String(), "")
}

// keys types, when the program has been quiet for a moment: the line editor drops what is typed while it asks where the cursor stands.
func (p *terminal) keys(text string) {
	p.Helper()
	const pause = 50 * time.Millisecond
	for quiet, last, tries := 0, -1, 0; quiet < 2 && tries < 100; tries++ {
		n := len(p.text())
		if quiet++; n != last {
			quiet, last = 0, n
		}
		time.Sleep(pause)
	}
	p.seen = len(p.text())
	if _, err := p.master.WriteString(text); err != nil {
		p.Fatal(err)
	}
}

// interrupt presses Ctrl-C until the program prints want: what is pressed before a statement runs goes to the line editor.
func (p *terminal) interrupt(want string) {
	p.Helper()
	stop := make(chan struct{})
	var pressing sync.WaitGroup
	pressing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				p.master.WriteString("\x03")
			}
		}
	})
	defer pressing.Wait()
	defer close(stop)
	p.seen = len(p.text())
	p.wait(want)
}

// wait waits until the program prints want, after what it had printed when the last keys were typed.
func (p *terminal) wait(want string) {
	p.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if text := p.text(); len(text) > p.seen && strings.Contains(text[p.seen:], want) {
			return
		}
		select {
		case <-p.ended:
			if text := p.text(); len(text) > p.seen && strings.Contains(text[p.seen:], want) {
				return
			}
			p.Fatalf("the program ended without %q:\n%s", want, p.text())
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.Fatalf("no %q in:\n%s", want, p.text())
}

// TestShellAtATerminal types into the shell: completion, statements of several lines, history, the pager, Ctrl-C, the picture in colours.
func TestShellAtATerminal(t *testing.T) {
	n, urls := shellNode(t)
	if out, err := quipuSQL(t, "", "--url", n.addr, "-f", "testdata/shell/session.sql"); err == nil {
		t.Fatal(out)
	}
	dir := t.TempDir()
	history := filepath.Join(dir, "history")
	env := []string{"QUIPU_HISTORY=" + history, "TERM=xterm-256color", "LC_ALL=C.UTF-8", "INPUTRC=/dev/null", "PAGER=sed -n '1p;$s/.*/paged &/p'"}
	for _, over := range []string{"API", "PostgreSQL"} {
		t.Run(over, func(t *testing.T) {
			p := openTerminal(t, 80, 30, env, mustBinary(t), "sql", "--url", urls[over])
			p.wait("quipu> ")
			p.keys("SELECT gen\t")
			p.wait("gender")
			p.keys(", sum(count) FROM adm\t")
			p.wait("admissions")
			p.keys(" GROUP BY 1\n")
			p.wait("\n")
			p.keys("ORDER BY 1;\r")
			p.wait("(2 rows)")
			p.keys("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b;\r")
			p.interrupt("canceling statement due to user request")
			p.keys("SELECT 'still here' AS t;\r")
			p.wait("still here")
			p.keys("SELECT * FROM generate_series(1, 100) AS g;\r")
			p.wait("paged (100 rows)")
			p.keys("\\plot admissions gender admitted\r")
			p.wait("X²")
			if !strings.Contains(p.out.String(), "\x1b[38;5;231;48;5;25m") {
				t.Error("the picture has no colours")
			}
			p.keys("SELECT 7 AS seven \\watch 0.05\r")
			p.wait("(every 50ms)")
			p.interrupt("quipu> ")
			p.keys("\\q\r")
			select {
			case <-p.ended:
			case <-time.After(20 * time.Second):
				t.Fatal("the shell does not end")
			}
		})
	}
	p := openTerminal(t, 80, 30, append(env, "NO_COLOR=1"), mustBinary(t), "sql", "--url", n.addr)
	p.wait("quipu> ")
	p.keys("\x1b[A\x1b[A\x1b[A\x1b[A\r") // of the shell before: \q, \watch, \plot, and the series
	p.wait("paged (100 rows)")
	p.keys("\\plot admissions gender admitted\r")
	p.wait("== z <= -4")
	if text, err := os.ReadFile(history); err != nil || !strings.Contains(string(text), `GROUP BY 1\nORDER BY 1;`) {
		t.Errorf("history holds %s, %v", text, err)
	}
}
