package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/client"
)

func TestReplicasAreComparedAtOneIndex(t *testing.T) {
	m := client.ClusterMap{Groups: []client.GroupInfo{
		{Group: "meta", Voters: []string{"a", "b"}}, {Group: "shard/0", Voters: []string{"a"}, Learners: []string{"b"}}, {Group: "shard/1", Voters: []string{"a", "b"}}}}
	s := samples{}
	s.add("a", []client.ReplicaHash{{Group: "meta", Index: 5, SHA256: [32]byte{1}}, {Group: "shard/0", Index: 7}, {Group: "shard/1", Index: 3, SHA256: [32]byte{3}}})
	s.add("b", []client.ReplicaHash{{Group: "meta", Index: 5, SHA256: [32]byte{1}}, {Group: "shard/0", Index: 8}, {Group: "shard/1", Index: 3, SHA256: [32]byte{4}}})
	s.add("gone", []client.ReplicaHash{{Group: "meta", Index: 5, SHA256: [32]byte{9}}}) // of no member
	rows, err := s.rows(m)
	if err == nil || !strings.Contains(err.Error(), "shard/1 differ") || strings.Contains(err.Error(), "meta") {
		t.Errorf("error %v", err)
	}
	for i, want := range []string{"yes", "not compared", "NO"} {
		if rows[i][3] != want {
			t.Errorf("%v: equal is %v, want %s", rows[i][0], rows[i][3], want)
		}
	}
	if rows[0][2] != int64(5) {
		t.Errorf("compared at %v, want 5", rows[0][2])
	}
}

// A replica that moves while the nodes are asked is not waited for where it was.
func TestReplicaOnTheMoveIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := []string{"a", "b", "c"}
		look := func(context.Context) (client.ClusterMap, error) {
			m := client.ClusterMap{Groups: []client.GroupInfo{{Group: "shard/0", Voters: members}}}
			for _, id := range []string{"a", "b", "c"} {
				m.Nodes = append(m.Nodes, client.NodeInfo{ID: id, State: "active"})
			}
			members = []string{"a", "b"}
			return m, nil
		}
		hash := func(_ context.Context, info client.NodeInfo) (string, []client.ReplicaHash, error) {
			if info.ID == "c" {
				return "c", nil, nil
			}
			return info.ID, []client.ReplicaHash{{Group: "shard/0", Index: 7}}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := samples{}
		m, err := s.gather(ctx, look, hash)
		if rows, differ := s.rows(m); err != nil || differ != nil || rows[0][3] != "yes" {
			t.Errorf("%v, %v, %v", rows, err, differ)
		}
	})
}

// A removed node is not waited for, though it is a member of a group until the controller has struck it out.
func TestRemovedNodeIsNotCompared(t *testing.T) {
	m := withoutRemoved(client.ClusterMap{Nodes: []client.NodeInfo{{ID: "a", State: "active"}, {ID: "gone", State: "removed"}},
		Groups: []client.GroupInfo{{Group: "meta", Voters: []string{"a"}, Learners: []string{"gone"}}}})
	s := samples{}
	s.add("a", []client.ReplicaHash{{Group: "meta", Index: 5}})
	if rows, err := s.rows(m); err != nil || rows[0][1] != int64(1) || rows[0][3] != "yes" || len(m.Nodes) != 1 {
		t.Errorf("%v, %v; nodes %v", rows, err, m.Nodes)
	}
}
