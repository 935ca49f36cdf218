package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// workless is the name of a server that takes no time for a query: it answers what a node has answered to the same bytes before. What a client
// reaches with it is about what it reaches with any server, as the rest is its own and the machine's. It polls as a node does.
const workless = "no work"

const worklessPoll = 100 * time.Microsecond

// startWorkless runs that server in a process of its own, as the others are.
func startWorkless(ctx context.Context, port int, node string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p := &process{cmd: exec.CommandContext(ctx, self, "--workless", address+"="+node)}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	err = eventually(ctx, func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		p.stop(syscall.SIGTERM)
		return nil, fmt.Errorf("the server without work: %w", err)
	}
	return p, nil
}

// serveWorkless serves clients at an address with the answers of a node, ADDRESS=NODE, until the process ends.
func serveWorkless(at string) error {
	address, node, _ := strings.Cut(at, "=")
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go repeat(c.(*net.TCPConn), node)
	}
}

// repeat serves one client, on a thread of its own whose sleep the runtime knows nothing of.
func repeat(c *net.TCPConn, node string) {
	runtime.LockOSThread()
	f, err := c.File()
	c.Close()
	if err != nil {
		return
	}
	defer f.Close()
	behind, err := net.Dial("tcp", node)
	if err != nil {
		return
	}
	defer behind.Close()
	fd, known, buf := int(f.Fd()), map[string][]byte{}, make([]byte, 64<<10)
	for {
		n := pollRead(fd, buf)
		if n <= 0 {
			return
		}
		answer, ok := known[string(buf[:n])]
		if !ok {
			if answer, err = exchange(behind, buf[:n]); err != nil {
				return
			}
			known[string(buf[:n])] = answer
		}
		for len(answer) > 0 {
			n, err := syscall.Write(fd, answer)
			if err != nil {
				return
			}
			answer = answer[n:]
		}
	}
}

// pollRead reads what is there, or what comes.
func pollRead(fd int, buf []byte) int {
	for begin := time.Now(); time.Since(begin) < worklessPoll; {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), syscall.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n)
		}
	}
	n, _ := syscall.Read(fd, buf)
	return n
}

// exchange asks the node and reads up to the message that the next query may come, whose last byte is a status.
func exchange(node io.ReadWriter, question []byte) (answer []byte, err error) {
	if _, err := node.Write(question); err != nil {
		return nil, err
	}
	for buf := make([]byte, 64<<10); ; {
		n, err := node.Read(buf)
		answer = append(answer, buf[:n]...)
		switch {
		case err != nil:
			return nil, err
		case len(answer) > 6 && bytes.Equal(answer[len(answer)-6:len(answer)-1], []byte{'Z', 0, 0, 0, 5}):
			return answer, nil
		case len(answer) > 16<<20:
			return nil, errors.New("an answer without an end")
		}
	}
}
