package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	clusterNodes = 3
	clusterFloor = 8 // times PostgreSQL
	threeNodes   = "Quipu x 3"
)

// runClusters compares three nodes of Quipu, which share this machine and its disk and keep three replicas of everything, with one PostgreSQL
// that has the machine to itself, in rounds.
func runClusters(ctx context.Context, binary string, b batches, cells int, span time.Duration, rounds int) error {
	r := &report{}
	for range rounds {
		r.rates = append(r.rates, map[string]float64{})
		if err := runPostgres(ctx, r, b, span, 0); err != nil {
			return fmt.Errorf("PostgreSQL: %w", err)
		}
		if err := runCluster(ctx, r, binary, cells, span); err != nil {
			return fmt.Errorf("%s: %w", threeNodes, err)
		}
		fmt.Println()
	}
	r.ratio("PostgreSQL", threeNodes, clusterFloor)
	return nil
}

// runCluster starts the nodes, waits until replicas and leaders are spread, and counts.
func runCluster(ctx context.Context, r *report, binary string, cells int, span time.Duration) error {
	peers := make([]string, clusterNodes)
	urls := make([]string, clusterNodes)
	for i := range clusterNodes {
		port, err := freePort()
		if err != nil {
			return err
		}
		peers[i] = fmt.Sprintf("127.0.0.1:%d", port)
		flags := []string{"--peer-addr", peers[i]}
		if i > 0 {
			flags = append(flags, "--join", peers[0])
		}
		q, url, err := startQuipu(ctx, binary, "off", flags...)
		if err != nil {
			return err
		}
		defer q.stop(syscall.SIGTERM)
		urls[i] = url
	}
	url := strings.Join(urls, ",")
	if _, err := quipu(ctx, binary, "cluster", "status", "--url", url, "--wait", "--nodes", strconv.Itoa(clusterNodes)); err != nil {
		return err
	}
	var leads []int
	for waited := time.Duration(0); ; waited += time.Second {
		var err error
		if leads, err = led(ctx, binary, url); err != nil {
			return err
		}
		if spread(leads) {
			break
		}
		if waited > 2*time.Minute {
			return fmt.Errorf("the nodes lead %v groups", leads)
		}
		time.Sleep(time.Second)
	}
	fmt.Printf("%s: the nodes lead %v groups\n", threeNodes, leads)
	return quipuCount(ctx, r, threeNodes, binary, url, cells, span)
}

// led is how many groups each node leads.
func led(ctx context.Context, binary, url string) ([]int, error) {
	out, err := quipu(ctx, binary, "node", "status", "--url", url, "--format", "csv")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) != clusterNodes+1 || rows[0][3] != "leads" {
		return nil, errors.Join(err, fmt.Errorf("quipu node status says\n%s", out))
	}
	leads := make([]int, clusterNodes)
	for i := range leads {
		if leads[i], err = strconv.Atoi(rows[i+1][3]); err != nil {
			return nil, err
		}
	}
	return leads, nil
}

// spread says that no node leads two groups more than another one: each has a replica of every group.
func spread(leads []int) bool {
	least, most := leads[0], leads[0]
	for _, n := range leads {
		least, most = min(least, n), max(most, n)
	}
	return most-least <= 1
}
