package layout

// forest tells which numbers belong together.
type forest []int

func newForest(n int) forest {
	f := make(forest, n)
	for i := range f {
		f[i] = i
	}
	return f
}

// root is the smallest number of those that belong to v.
func (f forest) root(v int) int {
	for f[v] != v {
		f[v] = f[f[v]]
		v = f[v]
	}
	return v
}

func (f forest) join(a, b int) {
	a, b = f.root(a), f.root(b)
	f[max(a, b)] = min(a, b)
}

// sets lists those that belong together, in the order of their smallest.
func (f forest) sets(of []int) [][]int {
	place := map[int]int{}
	var out [][]int
	for _, v := range of {
		r := f.root(v)
		i, ok := place[r]
		if !ok {
			i = len(out)
			place[r] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], v)
	}
	return out
}
