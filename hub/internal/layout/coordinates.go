package layout

import "slices"

// coordinates places the vertices across the layers, after Brandes and Köpf (2001): four times vertices are aligned with the median of their
// neighbours above or below, beginning at the left or the right, and packed; the mean of the two middle places is taken. Packing goes over the aligned
// blocks as a graph, which also holds where vertices differ in size.
func (c *component) coordinates() {
	crossing := c.conflicts()
	var all [4][]float32
	var lows, highs [4]float32
	narrowest := 0
	for i := range all {
		all[i] = c.aligned(i%2 == 1, i/2 == 1, crossing)
		lows[i], highs[i] = c.extent(all[i])
		if highs[i]-lows[i] < highs[narrowest]-lows[narrowest] {
			narrowest = i
		}
	}
	for i := range all {
		shift := lows[narrowest] - lows[i]
		if i%2 == 1 {
			shift = highs[narrowest] - highs[i]
		}
		for v := range all[i] {
			all[i][v] += shift
		}
	}
	middle := make([]float32, len(c.vertices))
	for v := range middle {
		xs := []float32{all[0][v], all[1][v], all[2][v], all[3][v]}
		slices.Sort(xs)
		middle[v] = (xs[1] + xs[2]) / 2
	}
	low, _ := c.extent(middle)
	for v := range middle {
		c.vertex(v).across = middle[v] - low
	}
}

func (c *component) extent(xs []float32) (low, high float32) {
	for v, x := range xs {
		half := c.vertex(v).breadth / 2
		if v == 0 {
			low, high = x-half, x+half
		}
		low, high = min(low, x-half), max(high, x+half)
	}
	return low, high
}

// conflicts are the pieces of edges, by their ends, that cross a piece of a long edge: the long ones are kept straight.
func (c *component) conflicts() map[[2]int]bool {
	out := map[[2]int]bool{}
	for k := 1; k < len(c.layers); k++ {
		low, from := 0, 0
		layer := c.layers[k]
		for i, v := range layer {
			inner := c.inner(v)
			if inner < 0 && i < len(layer)-1 {
				continue
			}
			high := len(c.layers[k-1]) - 1
			if inner >= 0 {
				high = c.pos[inner]
			}
			for _, u := range layer[from : i+1] {
				for _, w := range c.up[u] {
					if (c.pos[w] < low || c.pos[w] > high) && !(c.passes(u) && c.passes(w)) {
						out[[2]int{w, u}] = true
					}
				}
			}
			from, low = i+1, high
		}
	}
	return out
}

// passes tells whether a vertex is a place where an edge passes.
func (c *component) passes(v int) bool { return c.vertex(v).node < 0 }

// inner gives the upper end of the piece of a long edge that ends at v; -1 if there is none.
func (c *component) inner(v int) int {
	if c.passes(v) {
		for _, w := range c.up[v] {
			if c.passes(w) {
				return w
			}
		}
	}
	return -1
}

// alignment is one of the four: the vertices of a block, which has a root, stand exactly above each other.
type alignment struct {
	*component
	rows   [][]int // layers in the order they are gone through, vertices likewise
	beside [][]int // neighbours in the row before
	place  []int   // in its row
	root   []int
}

// aligned gives the places of one alignment. A mirrored one begins at the right, and an upward one below.
func (c *component) aligned(mirrored, upward bool, crossing map[[2]int]bool) []float32 {
	a := &alignment{component: c, rows: c.snapshot(), beside: c.up, place: make([]int, len(c.pos)), root: make([]int, len(c.pos))}
	if upward {
		slices.Reverse(a.rows)
		a.beside = c.down
	}
	for _, row := range a.rows {
		if mirrored {
			slices.Reverse(row)
		}
		for i, v := range row {
			a.place[v], a.root[v] = i, v
		}
	}
	a.align(func(before, v int) bool {
		if upward {
			return crossing[[2]int{v, before}]
		}
		return crossing[[2]int{before, v}]
	})
	xs := a.pack()
	if mirrored {
		for v := range xs {
			xs[v] = -xs[v]
		}
	}
	return xs
}

func (a *alignment) align(crosses func(before, v int) bool) {
	taken := make([]bool, len(a.pos)) // has a vertex aligned with it already
	for _, row := range a.rows {
		last := -1
		for _, v := range row {
			ns := slices.Clone(a.beside[v])
			slices.SortFunc(ns, func(x, y int) int { return a.place[x] - a.place[y] })
			for _, w := range medians(ns) {
				if a.root[v] == v && !taken[w] && a.place[w] > last && !crosses(w, v) {
					taken[w] = true
					a.root[v] = a.root[w]
					last = a.place[w]
				}
			}
		}
	}
}

// medians are the one or two in the middle.
func medians(vs []int) []int {
	if len(vs) == 0 {
		return nil
	}
	return vs[(len(vs)-1)/2 : len(vs)/2+1]
}

// after is a block that must stand at least so far to the right of another.
type after struct {
	root int
	gap  float32
}

// pack puts every block as far to the left as the blocks before it allow, then those with room to their right as far there as goes, so that blocks
// that belong together don't drift apart.
func (a *alignment) pack() []float32 {
	next, waits := make([][]after, len(a.pos)), make([]int, len(a.pos))
	for _, row := range a.rows {
		for i := 1; i < len(row); i++ {
			from, to := a.root[row[i-1]], a.root[row[i]]
			next[from] = append(next[from], after{to, a.gap(row[i-1], row[i])})
			waits[to]++
		}
	}
	var order []int
	for v, root := range a.root {
		if v == root && waits[v] == 0 {
			order = append(order, v)
		}
	}
	left := make([]float32, len(a.pos))
	for i := 0; i < len(order); i++ {
		for _, b := range next[order[i]] {
			left[b.root] = max(left[b.root], left[order[i]]+b.gap)
			if waits[b.root]--; waits[b.root] == 0 {
				order = append(order, b.root)
			}
		}
	}
	for _, v := range slices.Backward(order) {
		pull(v, next[v], left)
	}
	for v, root := range a.root {
		left[v] = left[root]
	}
	return left
}

// pull moves a block as far to the right as those after it allow; a block with none after it stays.
func pull(v int, next []after, left []float32) {
	if len(next) == 0 {
		return
	}
	room := left[next[0].root] - next[0].gap
	for _, b := range next {
		room = min(room, left[b.root]-b.gap)
	}
	left[v] = max(left[v], room)
}
