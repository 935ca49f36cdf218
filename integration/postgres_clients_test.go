package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// postgresNode starts a node that listens for PostgreSQL clients, and gives how they find it.
func postgresNode(t *testing.T) (dsn string) {
	t.Helper()
	addr := freeAddr(t)
	startNode(t, t.TempDir(), "--pg-listen", addr)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("host=%s port=%s user=me dbname=quipu", host, port)
}

// TestPsql plays scripts with psql: a block, a ROLLBACK after a COPY, a caret under an error; \d and its family.
func TestPsql(t *testing.T) {
	needPsql(t)
	for _, script := range []string{"psql", "psql_catalog"} {
		t.Run(script, func(t *testing.T) {
			got := runClient(t, "psql", "-X", "-A", postgresNode(t), "-f", "testdata/"+script+".sql")
			want, err := os.ReadFile("testdata/" + script + ".out")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("psql prints\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestPsqlCompletes presses Tab in a psql at a terminal.
func TestPsqlCompletes(t *testing.T) {
	needPsql(t)
	if _, err := exec.LookPath(python); err != nil {
		t.Skipf("needs %s", python)
	}
	dsn := postgresNode(t)
	runClient(t, "psql", "-X", dsn, "-c", "CREATE TABLE visits (country text, level text)")
	if got := runClient(t, python, "testdata/complete.py", dsn); got != "ok\n" {
		t.Error(got)
	}
}

func needPsql(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("needs psql, of Debian's package postgresql-client")
	}
}

// python is the one that Debian's packages are for.
const python = "/usr/bin/python3"

// TestPythonDrivers runs testdata/drivers.py with psycopg2 and psycopg 3.
func TestPythonDrivers(t *testing.T) {
	if _, err := exec.LookPath(python); err != nil {
		t.Skipf("needs %s", python)
	}
	dsn := postgresNode(t)
	for version, of := range map[string]string{"2": "python3-psycopg2", "3": "python3-psycopg"} {
		t.Run(of, func(t *testing.T) {
			if got := runClient(t, python, "testdata/drivers.py", version, dsn); got != "ok\n" {
				t.Error(got)
			}
		})
	}
}

// TestSQLAlchemy reflects a table.
func TestSQLAlchemy(t *testing.T) {
	if _, err := exec.LookPath(python); err != nil {
		t.Skipf("needs %s", python)
	}
	if got := runClient(t, python, "testdata/reflect.py", "me@"+postgresAddress(postgresNode(t))+"/quipu"); got != "ok\n" {
		t.Error(got)
	}
}

// jdbc is where Debian's package libpostgresql-jdbc-java puts the driver.
const jdbc = "/usr/share/java/postgresql.jar"

// TestJDBC asks the metadata of the JDBC driver. testdata of query has what the driver sends, for machines without Java.
func TestJDBC(t *testing.T) {
	if _, err := os.Stat(jdbc); err != nil {
		t.Skip("needs Debian's packages libpostgresql-jdbc-java and openjdk-17-jdk-headless")
	}
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("needs javac, of Debian's package openjdk-17-jdk-headless")
	}
	url := "jdbc:postgresql://" + postgresAddress(postgresNode(t)) + "/quipu?sslmode=disable"
	if got := runClient(t, "java", "-cp", jdbc, "testdata/Metadata.java", url); got != "ok\n" {
		t.Error(got)
	}
}

// postgresAddress is the host and port of a connection string.
func postgresAddress(dsn string) string {
	words := map[string]string{}
	for _, w := range strings.Fields(dsn) {
		name, value, _ := strings.Cut(w, "=")
		words[name] = value
	}
	return words["host"] + ":" + words["port"]
}

// runClient runs a program and gives what it prints. A program that ends with 77 lacks something.
func runClient(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 77 {
		t.Skipf("needs Debian's packages python3-psycopg2, python3-psycopg and python3-sqlalchemy: %s", strings.TrimSpace(string(out)))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
