package layout

import (
	"cmp"
	"slices"
)

const (
	sweeps      = 12  // down and up again; better orders are rarely found later
	idleSweeps  = 4   // that find nothing better, before giving up
	swapRounds  = 4   // of exchanging neighbours, in a sweep
	swapCompare = 400 // pairs of edges that are compared to exchange two neighbours at most: the many edges of hubs are left to the means
)

// reduceCrossings sweeps down and up, putting every vertex near the mean of its neighbours, and keeps the order with the fewest crossings.
func (c *component) reduceCrossings() {
	best, fewest := c.snapshot(), c.crossings()
	mean := make([]float64, len(c.vertices))
	for i, idle := 0, 0; i < sweeps && fewest > 0 && idle < idleSweeps; i++ {
		if i%2 == 0 {
			for k := 1; k < len(c.layers); k++ {
				c.sortLayer(c.layers[k], c.up, mean)
			}
		} else {
			for k := len(c.layers) - 2; k >= 0; k-- {
				c.sortLayer(c.layers[k], c.down, mean)
			}
		}
		c.swapNeighbours()
		if n := c.crossings(); n < fewest {
			best, fewest, idle = c.snapshot(), n, 0
		} else {
			idle++
		}
	}
	c.layers = best
	c.renumber()
}

// sortLayer orders a layer by the means of its vertices' neighbours; those without neighbours keep their places.
func (c *component) sortLayer(layer []int, neighbours [][]int, mean []float64) {
	moving := make([]int, 0, len(layer))
	for _, v := range layer {
		if len(neighbours[v]) == 0 {
			continue
		}
		sum := 0
		for _, w := range neighbours[v] {
			sum += c.pos[w]
		}
		mean[v] = float64(sum) / float64(len(neighbours[v]))
		moving = append(moving, v)
	}
	slices.SortStableFunc(moving, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
	next := 0
	for i, v := range layer {
		if len(neighbours[v]) > 0 {
			layer[i] = moving[next]
			next++
		}
		c.pos[layer[i]] = i
	}
}

// swapNeighbours exchanges vertices beside each other as long as that saves crossings.
func (c *component) swapNeighbours() {
	for saved, round := true, 0; saved && round < swapRounds; round++ {
		saved = false
		for _, layer := range c.layers {
			for i := 1; i < len(layer); i++ {
				if a, b := layer[i-1], layer[i]; c.saves(a, b) {
					layer[i-1], layer[i] = b, a
					c.pos[a], c.pos[b] = i, i-1
					saved = true
				}
			}
		}
	}
}

// saves tells whether exchanging two neighbours, of which a is the left one, saves crossings.
func (c *component) saves(a, b int) bool {
	if len(c.up[a])*len(c.up[b])+len(c.down[a])*len(c.down[b]) > swapCompare {
		return false
	}
	asIs := c.between(c.up[a], c.up[b]) + c.between(c.down[a], c.down[b])
	return asIs > 0 && c.between(c.up[b], c.up[a])+c.between(c.down[b], c.down[a]) < asIs
}

// between counts the crossings of the edges of two vertices, by the other ends.
func (c *component) between(left, right []int) int {
	n := 0
	for _, a := range left {
		for _, b := range right {
			if c.pos[a] > c.pos[b] {
				n++
			}
		}
	}
	return n
}

// crossings counts all, layer by layer, by inversions.
func (c *component) crossings() int {
	n := 0
	var ends []int
	for k := 1; k < len(c.layers); k++ {
		ends = ends[:0]
		for _, v := range c.layers[k-1] {
			from := len(ends)
			for _, w := range c.down[v] {
				ends = append(ends, c.pos[w])
			}
			slices.Sort(ends[from:])
		}
		n += inversions(ends, len(c.layers[k]))
	}
	return n
}

// inversions counts the pairs that stand in the wrong order; all values are below size.
func inversions(values []int, size int) int {
	tree := make([]int, size+1) // Fenwick: how many values up to here were seen
	n := 0
	for i, v := range values {
		n += i
		for j := v + 1; j > 0; j -= j & -j {
			n -= tree[j]
		}
		for j := v + 1; j <= size; j += j & -j {
			tree[j]++
		}
	}
	return n
}
