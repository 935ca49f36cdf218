package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type redis struct {
	process
	addr string
}

func startRedis(ctx context.Context) (r *redis, err error) {
	server, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peer-redis-")
	if err != nil {
		return nil, err
	}
	r = &redis{process: process{dir: dir}, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	r.cmd = exec.Command(server, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "")
	if err := r.cmd.Start(); err != nil {
		r.cmd = nil
		r.stop(syscall.SIGTERM)
		return nil, err
	}
	err = eventually(ctx, func(context.Context) error {
		c, err := dialRedis(r.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.ask("PING")
		return err
	})
	if err != nil {
		r.stop(syscall.SIGTERM)
	}
	return r, err
}

func runRedis(ctx context.Context, rep *report, b batches, span time.Duration) error {
	r, err := startRedis(ctx)
	if err != nil {
		return err
	}
	defer r.stop(syscall.SIGTERM)
	for _, conns := range connections {
		m, err := r.count(ctx, b, span, conns)
		if err != nil {
			return err
		}
		rep.line("Redis", fmt.Sprintf("pipeline of HINCRBY, %d obs, always, %d conns", batchSize, conns), m)
	}
	return nil
}

func (r *redis) count(ctx context.Context, b batches, span time.Duration, conns int) (m measured, err error) {
	first, err := dialRedis(r.addr)
	if err != nil {
		return m, err
	}
	defer first.Close()
	if _, err := first.ask("DEL", "cells"); err != nil {
		return m, err
	}
	var senders []func(context.Context, []cell) error
	for range conns {
		c, err := dialRedis(r.addr)
		if err != nil {
			return m, err
		}
		defer c.Close()
		senders = append(senders, func(_ context.Context, batch []cell) error { return c.increment(batch) })
	}
	if m, err = b.drive(ctx, span, senders); err != nil {
		return m, err
	}
	values, err := first.ask("HVALS", "cells")
	if err != nil {
		return m, err
	}
	sum := int64(0)
	for _, v := range values {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return m, err
		}
		sum += n
	}
	if sum != m.acked {
		return m, fmt.Errorf("the hash counts %d, %d were acknowledged", sum, m.acked)
	}
	return m, nil
}

// redisConn speaks as much of RESP as the workload needs.
type redisConn struct {
	net.Conn
	in  *bufio.Reader
	buf []byte
}

func dialRedis(addr string) (*redisConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &redisConn{Conn: c, in: bufio.NewReaderSize(c, 1<<16)}, nil
}

// increment sends a batch as one pipeline and waits for all answers.
func (c *redisConn) increment(batch []cell) error {
	c.buf = c.buf[:0]
	for i := range batch {
		field := strings.Join(batch[i].values[:], "/")
		c.buf = command(c.buf, "HINCRBY", "cells", field, strconv.FormatInt(batch[i].count, 10))
	}
	if _, err := c.Write(c.buf); err != nil {
		return err
	}
	for range batch {
		if _, err := c.answer(); err != nil {
			return err
		}
	}
	return nil
}

func (c *redisConn) ask(words ...string) ([]string, error) {
	if _, err := c.Write(command(nil, words...)); err != nil {
		return nil, err
	}
	return c.answer()
}

func command(b []byte, words ...string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(words)), 10)
	for _, w := range words {
		b = append(b, "\r\n$"...)
		b = strconv.AppendInt(b, int64(len(w)), 10)
		b = append(b, "\r\n"...)
		b = append(b, w...)
	}
	return append(b, "\r\n"...)
}

// answer reads one reply: a line, a number, a text or a list of texts.
func (c *redisConn) answer() ([]string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	switch line[0] {
	case '+', ':':
		return []string{line[1:]}, nil
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 {
			return nil, err
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(c.in, text); err != nil {
			return nil, err
		}
		return []string{string(text[:n])}, nil
	case '*':
		n, err := strconv.Atoi(line[1:])
		if err != nil {
			return nil, err
		}
		var all []string
		for range n {
			one, err := c.answer()
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
	return nil, fmt.Errorf("redis says %s", line)
}
