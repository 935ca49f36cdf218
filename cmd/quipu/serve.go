package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quipudb/quipu/server"
	"github.com/quipudb/quipu/server/transport"
	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var cfg server.Config
	var address, postgres, peers, memory, free, level, passwordFile string
	var poll time.Duration
	var certificates transport.TLS
	c := &cobra.Command{
		Use:   "serve --data-dir DIR",
		Short: "Run a node",
		Long: `Run a node on a data directory. An empty directory becomes a complete cluster of one node, or with --join a member of the
cluster that any node of it names; there is no other initialization. Replicas come to a new node by themselves. The node serves gRPC and HTTP
on one port and PostgreSQL clients (psql, drivers, dashboards) on another.

While no role exists, it serves this machine only, and whoever asks may do everything. CREATE ROLE name SUPERUSER LOGIN PASSWORD '…',
or --admin-password-file, makes the first role; from then on everybody proves who they are. Other addresses than loopback need a role and
a certificate, which is read again when its files change, or on SIGHUP.
It ends on SIGINT or SIGTERM, and by itself, with a message, when it can no longer keep its promises.`,
		Example: `  quipu serve --data-dir ./data
  quipu serve --data-dir ./data --listen 127.0.0.1:7490 --cell-memory 2GiB
  quipu serve --data-dir ./data2 --listen 127.0.0.1:7490 --peer-addr 127.0.0.1:7491 --join 127.0.0.1:7481
  quipu serve --data-dir ./data --listen :7480 --pg-listen :7432 --tls-cert node.crt --tls-key node.key --admin-password-file admin.pw`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.CellMemory, err = bytesOf("cell-memory", memory); err != nil {
				return err
			}
			if cfg.DiskFree, err = bytesOf("disk-free", free); err != nil {
				return err
			}
			if cfg.WirePoll, err = pollOf(poll); err != nil {
				return err
			}
			if cfg.Logger, err = logger(cmd.ErrOrStderr(), level); err != nil {
				return err
			}
			if cfg.AdminPassword, err = passwordOf(passwordFile); err != nil {
				return err
			}
			if passwordFile == "" {
				cfg.Admin = ""
			}
			if cfg.Shards < 1 {
				return &usageError{fmt.Errorf("--shards %d: a cluster has at least 1", cfg.Shards)}
			}
			if peers != "off" {
				cfg.Peer.Listen = peers
			}
			if certificates.CertFile != "" || certificates.KeyFile != "" || certificates.AuthorityFile != "" {
				cfg.Peer.TLS = &certificates
			}
			cfg.Peer.Optional = !cmd.Flags().Changed("peer-addr")
			return serve(cmd, cfg, address, postgres)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", "", "directory of the node (required)")
	f.StringVar(&address, "listen", "127.0.0.1:7480", "address of gRPC and HTTP")
	f.StringVar(&postgres, "pg-listen", postgresDefault, "address of PostgreSQL's protocol; off to leave it out")
	f.DurationVar(&poll, "pg-poll", pollDefault, "how long a connection of PostgreSQL's protocol looks for the next query before it sleeps, if its client alone asks and asks at once again; 0: never")
	f.StringVar(&peers, "peer-addr", peerDefault, "address for other nodes, a loopback one without --peer-cert; off for a node that stays alone")
	f.StringVar(&certificates.CertFile, "peer-cert", "", "certificate of this node (PEM), for TLS between nodes on addresses other than loopback ones")
	f.StringVar(&certificates.KeyFile, "peer-key", "", "private key of --peer-cert (PEM)")
	f.StringVar(&certificates.AuthorityFile, "peer-ca", "", "certificates of the authority that signs those of all nodes, and of nothing else (PEM)")
	f.StringVar(&cfg.Peer.API, "advertise-api", "", "address at which clients reach this node (default that of --listen)")
	f.StringVar(&cfg.Peer.Advertise, "advertise", "", "address at which other nodes reach this one (default that of --peer-addr)")
	f.Var(&failover{&cfg.Peer.Timeout}, "failover", "how soon another node takes over: default (about 2 s) or fast (about 0.5 s, for quiet machines and disks); the same on all nodes")
	f.StringVar(&cfg.Peer.Join, "join", "", "peer address of any member of the cluster that a new node joins")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "file of the certificate, in PEM form with those between it and the root")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "file of the certificate's key, in PEM form")
	f.StringVar(&cfg.Admin, "admin", "quipu", "name of the first role, made at the start if there is none")
	f.StringVar(&passwordFile, "admin-password-file", "", "file with the password of the first role")
	f.IntVar(&cfg.Shards, "shards", 4, "shards of a new cluster; fixed from then on")
	f.StringVar(&memory, "cell-memory", "", "memory for cells and dictionaries, for example 512MiB (default a quarter of the machine's)")
	f.StringVar(&free, "disk-free", "", "free disk space below which writes are refused (default 512MiB)")
	f.StringVar(&level, "log-level", "warn", "debug, info, warn or error")
	c.MarkFlagRequired("data-dir")
	c.MarkFlagsRequiredTogether("peer-cert", "peer-key", "peer-ca")
	return c
}

// pollDefault is longer than a driver takes to ask again, and short beside the time that a client elsewhere needs.
const (
	pollDefault = 100 * time.Microsecond
	pollMax     = 10 * time.Millisecond
)

// pollOf is what a node takes for --pg-poll.
func pollOf(d time.Duration) (time.Duration, error) {
	switch {
	case d < 0 || d > pollMax:
		return 0, &usageError{fmt.Errorf("--pg-poll %v: it is from 0 (never) to %v", d, pollMax)}
	case d == 0:
		return -1, nil
	}
	return d, nil
}

// failover is the choice of how long nodes wait for a leader's sign of life.
type failover struct{ timeout *time.Duration }

// failoverFast is short enough for writers to wait half a second, and long enough for a machine of two cores at work. Shorter ones depose leaders
// that wait for their disk.
const failoverFast = 200 * time.Millisecond

func (f *failover) String() string {
	if f.timeout != nil && *f.timeout == failoverFast {
		return "fast"
	}
	return "default"
}

func (f *failover) Set(s string) error {
	switch s {
	case "default":
		*f.timeout = 0
	case "fast":
		*f.timeout = failoverFast
	default:
		return fmt.Errorf("%q is neither default nor fast", s)
	}
	return nil
}

func (f *failover) Type() string { return "default|fast" }

// peerDefault is the usual address for other nodes.
const peerDefault = "127.0.0.1:7481"

// postgresDefault is the usual address of PostgreSQL's protocol.
const postgresDefault = "127.0.0.1:7432"

func serve(cmd *cobra.Command, cfg server.Config, address, postgres string) error {
	tuneGC(cfg)
	halted := make(chan error, 1)
	cfg.Halt = func(err error) { halted <- err }
	s, err := server.Serve(cmd.Context(), cfg, address)
	if err != nil {
		return err
	}
	sql, err := servePostgres(cmd, s, postgres)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	state := ""
	if s.Unguarded() {
		state = "; no role exists: open to every program on this machine"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s%s  (gRPC and HTTP; %sdata in %s%s)\n", servingPrefix, s.Addr, sql, cfg.DataDir, state)
	hangUps := make(chan os.Signal, 1)
	if cfg.TLSCert != "" {
		signal.Notify(hangUps, syscall.SIGHUP)
		defer signal.Stop(hangUps)
	}
	for {
		select {
		case <-hangUps:
			if err := s.ReloadCertificate(); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "the last certificate stays: %v\n", err)
			}
		case <-cmd.Context().Done():
			return s.Close()
		case err := <-s.Failed():
			return errors.Join(err, s.Close())
		case err := <-halted:
			// Nothing is written any more: what is not in the log was not acknowledged.
			return fmt.Errorf("the node stopped because it can no longer keep its promises: %w%s", err, mend(err))
		}
	}
}

// passwordOf reads a password from a file: its first line.
func passwordOf(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", &usageError{fmt.Errorf("--admin-password-file: the first line of %s is empty", path)}
	}
	return line, nil
}

// mend says what to do about what stopped a node, where that is plain.
func mend(err error) string {
	if errors.Is(err, syscall.ENOSPC) {
		return " (make room there and start the node again: it has what it acknowledged)"
	}
	return ""
}

// servePostgres opens the port for PostgreSQL clients and gives what is to be said of it. If nobody asked for the usual port and another
// program has it, the node goes without.
func servePostgres(cmd *cobra.Command, s *server.Service, address string) (string, error) {
	if address == "off" {
		return "", nil
	}
	addr, err := s.ServePostgres(address)
	switch {
	case err == nil:
		return fmt.Sprintf("PostgreSQL clients on %s; ", addr), nil
	case cmd.Flags().Changed("pg-listen"):
		return "", err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "PostgreSQL clients cannot connect: %v (--pg-listen takes another address)\n", err)
	return "", nil
}

// tuneGC lets garbage grow to four times the live heap while that is small, and holds the process near its budget when it is not: the
// budget for cells, and as much again as the rest of a node needs.
func tuneGC(cfg server.Config) {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(cfg.MemoryBudget() + overheadBytes)
}

const overheadBytes = 640 << 20

var units = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}

// bytesOf reads a size such as 512MiB; empty is 0.
func bytesOf(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	for _, u := range units {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err == nil && n >= 0 && n*float64(u.bytes) < 1<<62 {
				return int64(n * float64(u.bytes)), nil
			}
		}
	}
	return 0, &usageError{fmt.Errorf("--%s %q is not a size such as 512MiB or 4GiB", flag, s)}
}

func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, &usageError{fmt.Errorf("--log-level %q is not one of debug, info, warn, error", level)}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// throwAway starts a node on a temporary directory and a free port.
func throwAway(ctx context.Context) (s *server.Service, remove func(), err error) {
	dir, err := os.MkdirTemp("", "quipu-demo-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	cfg := server.Config{DataDir: dir, CellMemory: 256 << 20, DiskFree: -1}
	if s, err = server.Serve(ctx, cfg, "127.0.0.1:7480"); err != nil {
		s, err = server.Serve(ctx, cfg, "127.0.0.1:0") // another node has the usual port
	}
	if err != nil {
		remove()
	}
	return s, remove, err
}
