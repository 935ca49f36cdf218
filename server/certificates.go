package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// certificates is the certificate of two files, read again when they change. What does not read leaves the last one in force.
type certificates struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate] // never nil

	mu   sync.Mutex // guards seen, and orders reloads
	seen [2]stamp
}

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// certificatePoll is how often the files are looked at.
const certificatePoll = 5 * time.Second

func openCertificates(certFile, keyFile string, logger *slog.Logger) (*certificates, error) {
	if certFile == "" || keyFile == "" {
		return nil, fmt.Errorf("server: TLS needs a certificate and its key, two files in PEM form")
	}
	c := &certificates{certFile: certFile, keyFile: keyFile, logger: logger}
	return c, c.reload()
}

// reload reads the files.
func (c *certificates) reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := [2]stamp{stampOf(c.certFile), stampOf(c.keyFile)} // before they are read: what changes meanwhile is read again
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("server: the TLS certificate of %s and %s does not load: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	c.seen = seen
	return nil
}

// stampOf is that of a file, zero if it is not there.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// changed reports whether a file looks different from what was read.
func (c *certificates) changed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen != [2]stamp{stampOf(c.certFile), stampOf(c.keyFile)}
}

// watch reads the files again when they have changed, until ctx ends.
func (c *certificates) watch(ctx context.Context) {
	t := time.NewTicker(certificatePoll)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if !c.changed() {
				continue
			}
			if err := c.reload(); err != nil { // perhaps half of it is written: the next look will show
				c.logger.Warn("the TLS certificate was not read again, the last one stays", "err", err)
			} else {
				c.logger.Info("the TLS certificate was read again")
			}
		case <-ctx.Done():
			return
		}
	}
}

// config gives each connection the newest certificate. protocols says what it is to speak, by what the client offers.
func (c *certificates) config(protocols func(offered []string) []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*c.current.Load()}, NextProtos: protocols(h.SupportedProtos)}, nil
		},
	}
}

// apiProtocols is HTTP/1.1 for whoever knows it or says nothing, as browsers and curl do; gRPC's clients offer nothing but HTTP/2.
func apiProtocols(offered []string) []string {
	if len(offered) == 0 || slices.Contains(offered, "http/1.1") {
		return []string{"http/1.1"}
	}
	return []string{"h2"}
}

// wireProtocols is what PostgreSQL's clients offer when they begin with TLS.
func wireProtocols([]string) []string { return []string{"postgresql"} }
