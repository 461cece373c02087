package dedup

import "slices"

// graph says who gives way to whom. Nodes are numbers.
type graph struct {
	after  [][]int32 // by node: those that it gives way to
	before [][]int32 // by node: those that give way to it
}

// add adds n nodes and returns the first.
func (g *graph) add(n int) int32 {
	first := int32(len(g.after))
	g.after = append(g.after, make([][]int32, n)...)
	g.before = append(g.before, make([][]int32, n)...)
	return first
}

// edge says that a gives way to b.
func (g *graph) edge(a, b int32) {
	g.after[a] = append(g.after[a], b)
	g.before[b] = append(g.before[b], a)
}

// gone are the nodes that give way: from which some way leads to where no way leads back. Nodes that give way to each other in a circle, and to nobody
// else, stay: were they gone, nothing would be left in their place. So the answer depends on nothing but the edges, and a circle, which
// takes malice or two writers who contradict each other, costs nobody anything.
func (g *graph) gone() []bool {
	gone := slices.Repeat([]bool{true}, len(g.after))
	led := make([]bool, len(g.after))
	// Walking against the edges, the node that is left last is in a circle of those that stay (or is one, alone); once all that give way to it are
	// out of the way, so is the last of the others.
	for _, last := range slices.Backward(g.leaveOrder()) {
		if led[last] {
			continue
		}
		reach(g.before, last, func(n int32) bool {
			first := !led[n]
			led[n] = true
			return first
		})
		reach(g.after, last, func(n int32) bool {
			first := gone[n]
			gone[n] = false
			return first
		})
	}
	return gone
}

// leaveOrder is the order in which a walk against the edges, depth first, leaves the nodes for good.
func (g *graph) leaveOrder() []int32 {
	order := make([]int32, 0, len(g.before))
	entered := make([]int, len(g.before)) // edges taken, plus one
	var path []int32
	for start := range g.before {
		if entered[start] > 0 {
			continue
		}
		path = append(path, int32(start))
		entered[start] = 1
		for len(path) > 0 {
			n := path[len(path)-1]
			if taken := entered[n] - 1; taken < len(g.before[n]) {
				entered[n]++
				if next := g.before[n][taken]; entered[next] == 0 {
					entered[next] = 1
					path = append(path, next)
				}
				continue
			}
			order = append(order, n)
			path = path[:len(path)-1]
		}
	}
	return order
}

// reach calls visit for start and everything that edges lead to from there. visit reports whether to go on from a node.
func reach(edges [][]int32, start int32, visit func(int32) bool) {
	next := []int32{start}
	for len(next) > 0 {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		if visit(n) {
			next = append(next, edges[n]...)
		}
	}
}
