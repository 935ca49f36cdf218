package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed RoundTrips.java
var javaSource []byte

//go:embed round_trips.py
var pythonSource []byte

// Debian's packages libpostgresql-jdbc-java, python3-psycopg2 and python3-psycopg are for these.
const (
	jdbcDriver = "/usr/share/java/postgresql.jar"
	python     = "/usr/bin/python3"
)

// driverClients are the drivers of analysts' tools, those that are installed here. They ask over one connection, and check one answer; the
// latency that they give is the mean.
func driverClients(dir string) (out []wireClient, err error) {
	java, errJava := exec.LookPath("java")
	if _, err := os.Stat(jdbcDriver); errJava == nil && err == nil {
		source, err := keep(dir, "RoundTrips.java", javaSource)
		if err != nil {
			return nil, err
		}
		out = append(out, wireClient{"JDBC", true, driverClient(func(w wireCase, p wirePeer) []string {
			user, rest, _ := strings.Cut(strings.TrimPrefix(p.url, "postgres://"), "@")
			return []string{java, "-cp", jdbcDriver, source, "jdbc:postgresql://" + rest + "&user=" + user, strings.ReplaceAll(w.sql, "$1", "?")}
		})})
	}
	if _, err := os.Stat(python); err == nil && exec.Command(python, "-c", "import psycopg, psycopg2").Run() == nil {
		source, err := keep(dir, "round_trips.py", pythonSource)
		if err != nil {
			return nil, err
		}
		out = append(out, wireClient{"psycopg2 (simple) and psycopg 3 (kept)", true, driverClient(func(w wireCase, p wirePeer) []string {
			return []string{python, source, p.url, strings.ReplaceAll(w.sql, "$1", "%s")}
		})})
	}
	return out, nil
}

func keep(dir, name string, text []byte) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, text, 0o600)
}

// driverClient measures with a program that is told the case and prints the queries a second.
func driverClient(command func(wireCase, wirePeer) []string) func(wireCase, context.Context, wirePeer, time.Duration) (rate, latency float64, err error) {
	return func(w wireCase, ctx context.Context, p wirePeer, span time.Duration) (rate, latency float64, err error) {
		arg := ""
		if w.kept {
			arg = wireArg
		}
		words := append(command(w, p), arg, w.want, fmt.Sprint(span.Seconds()))
		out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output()
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return 0, 0, fmt.Errorf("%w\n%s%s", err, out, e.Stderr)
		}
		if err != nil {
			return 0, 0, err
		}
		rate, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		return rate, 1e6 / rate, err
	}
}
