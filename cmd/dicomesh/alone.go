package main

import (
	"fmt"
	"strings"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/agent"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/index"
)

// apart says why nothing may be published from the tree at dir without its agent: "" if no other site holds the same studies. state is the folder of its state, if it is
// not where it usually is.
func apart(tree durable.Reader, dir, state string) (reason string, err error) {
	folder, err := index.Locate(dir, state)
	if err != nil {
		return "", err
	}
	m, err := agent.Others(tree, folder)
	if err != nil {
		return "", err
	}
	switch n := len(m.Others); n {
	case 0:
		return "", nil
	case 1:
		return fmt.Sprintf("the tree is that of site %s of cluster %s, and %s may hold more of a study: only the running agent can ask", m.Site, m.Cluster, m.Others[0]), nil
	default:
		return fmt.Sprintf("the tree is that of site %s of cluster %s, and %s and %s may hold more of a study: only the running agent can ask", m.Site, m.Cluster,
			strings.Join(m.Others[:n-1], ", "), m.Others[n-1]), nil
	}
}
