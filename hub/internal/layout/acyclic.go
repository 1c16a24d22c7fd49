package layout

import "slices"

// digraph is the graph in canonical order: nodes are numbers, edges sorted, each once, none from a node to itself.
type digraph struct {
	out, in [][]int
}

func newDigraph(n int, edges [][2]int) *digraph {
	d := &digraph{out: make([][]int, n), in: make([][]int, n)}
	for _, e := range edges {
		if e[0] != e[1] {
			d.out[e[0]] = append(d.out[e[0]], e[1])
		}
	}
	d.settle()
	return d
}

// settle sorts the edges and writes the incoming ones anew.
func (d *digraph) settle() {
	clear(d.in)
	for v := range d.out {
		slices.Sort(d.out[v])
		d.out[v] = slices.Compact(d.out[v])
		for _, w := range d.out[v] {
			d.in[w] = append(d.in[w], v)
		}
	}
}

// breakCycles turns the edges around that lead back to where a walk along the edges came from. The walk begins at nodes that no edge leads to,
// so that an owner stays above what it owns.
func (d *digraph) breakCycles() {
	n := len(d.out)
	state := make([]int8, n) // 0 not seen, 1 on the way, 2 done
	var back [][2]int
	for v := range n {
		if len(d.in[v]) == 0 {
			back = d.walk(v, state, back)
		}
	}
	for v := range n {
		back = d.walk(v, state, back)
	}
	for _, e := range back {
		d.out[e[0]] = slices.DeleteFunc(d.out[e[0]], func(w int) bool { return w == e[1] })
		d.out[e[1]] = append(d.out[e[1]], e[0])
	}
	d.settle()
}

func (d *digraph) walk(root int, state []int8, back [][2]int) [][2]int {
	if state[root] != 0 {
		return back
	}
	type step struct{ v, next int }
	state[root] = 1
	for stack := []step{{root, 0}}; len(stack) > 0; {
		top := &stack[len(stack)-1]
		if top.next == len(d.out[top.v]) {
			state[top.v] = 2
			stack = stack[:len(stack)-1]
			continue
		}
		v, w := top.v, d.out[top.v][top.next]
		top.next++
		switch state[w] {
		case 0:
			state[w] = 1
			stack = append(stack, step{w, 0})
		case 1:
			back = append(back, [2]int{v, w})
		}
	}
	return back
}

// ranks puts every node below all that lead to it, and nodes with more ways out than in as near to what they lead to as can be.
func (d *digraph) ranks() []int {
	order := d.topological()
	rank := make([]int, len(order))
	for _, v := range order {
		for _, w := range d.out[v] {
			rank[w] = max(rank[w], rank[v]+1)
		}
	}
	for changed, round := true, 0; changed && round < 16; round++ {
		changed = false
		for i := len(order) - 1; i >= 0; i-- {
			v := order[i]
			if len(d.out[v]) <= len(d.in[v]) {
				continue
			}
			if low := d.lowest(v, rank); low > rank[v] {
				rank[v], changed = low, true
			}
		}
	}
	return rank
}

func (d *digraph) lowest(v int, rank []int) int {
	low := rank[d.out[v][0]]
	for _, w := range d.out[v] {
		low = min(low, rank[w])
	}
	return low - 1
}

func (d *digraph) topological() []int {
	n := len(d.out)
	waits := make([]int, n)
	order := make([]int, 0, n)
	for v := range n {
		if waits[v] = len(d.in[v]); waits[v] == 0 {
			order = append(order, v)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, w := range d.out[order[i]] {
			if waits[w]--; waits[w] == 0 {
				order = append(order, w)
			}
		}
	}
	return order
}
