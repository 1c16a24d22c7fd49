package export

import (
	"maps"
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// legendItem is a sign and what it means.
type legendItem struct {
	width float64 // of the sign
	draw  func(x, y float64)
	text  string
}

const (
	legendSize = 11
	legendLine = 24
)

// legend explains, from y on, what is to be seen in this picture and nothing else.
func (c *composer) legend(y float64) {
	c.scene.add(&figure{path: line(point{margin, y - 10}, point{c.scene.width - margin, y - 10}), stroke: &faint, width: 1})
	for _, row := range []struct {
		title string
		items []legendItem
	}{{"Health", c.healthItems()}, {"Relations", c.linkItems()}, {"Kinds", c.kindItems()}} {
		if len(row.items) > 0 {
			y = c.legendRow(row.title, row.items, y+10) + 4
		}
	}
	c.scene.height = y + margin - 4
}

// legendRow writes items side by side, in as many lines as they need, and gives where it ends.
func (c *composer) legendRow(title string, items []legendItem, y float64) float64 {
	const indent = margin + 76
	c.scene.write(title, margin, y+4, legendSize, 70, true, grey)
	x := float64(indent)
	for _, it := range items {
		width := it.width + 7 + measure(it.text, legendSize, false)
		if x > indent && x+width > c.scene.width-margin {
			x, y = indent, y+legendLine
		}
		it.draw(x, y)
		c.scene.write(it.text, x+it.width+7, y+4, legendSize, c.scene.width-margin-x-it.width-7, false, grey)
		x += width + 22
	}
	return y + legendLine - 8
}

func (c *composer) healthItems() (items []legendItem) {
	seen := map[string]bool{}
	missing, outside := false, false
	for i := range c.marks {
		seen[healthOf(c.marks[i].health).Name] = true
		missing, outside = missing || c.marks[i].missing, outside || c.marks[i].outside
	}
	for _, h := range healths {
		if seen[h.Name] {
			items = append(items, legendItem{10, func(x, y float64) { c.sign(h, x+5, y, 5, 1) }, h.Name})
		}
	}
	if missing {
		items = append(items, legendItem{24, func(x, y float64) {
			c.scene.add(&figure{path: rounded(x, y-7, 24, 14, 4), fill: &paper, stroke: &border, width: 1.2, dash: dashes})
		}, "missing: named by others, not there"})
	}
	if outside {
		items = append(items, legendItem{24, func(x, y float64) {
			pale := border.faded(outsideShare)
			c.scene.add(&figure{path: rounded(x, y-7, 24, 14, 4), fill: &paper, stroke: &pale, width: 1})
		}, "pale: outside what was asked for"})
	}
	return items
}

func (c *composer) linkItems() (items []legendItem) {
	seen, counted := map[string]bool{}, false
	for _, l := range c.links {
		seen[l.kind] = true
		counted = counted || l.count > 1
	}
	var kinds []string
	for _, t := range topo.EdgeTypes {
		if seen[string(t)] {
			kinds = append(kinds, string(t))
			delete(seen, string(t))
		}
	}
	kinds = append(kinds, slices.Sorted(maps.Keys(seen))...)
	for i, k := range kinds {
		text := k
		if counted && i == len(kinds)-1 {
			text += " (the wider, the more)"
		}
		items = append(items, legendItem{34, func(x, y float64) {
			look := lookOf(k)
			col := hex(look.Colour)
			c.scene.add(&figure{path: line(point{x, y}, point{x + 34 - arrowLength, y}), stroke: &col, width: 1.4, dash: look.Dash})
			c.scene.add(arrow(point{x + 34, y}, point{1, 0}, col, 1))
		}, text})
	}
	return items
}

// kindItems explains the abbreviations.
func (c *composer) kindItems() (items []legendItem) {
	seen := map[string]bool{}
	for i := range c.marks {
		seen[c.marks[i].kind] = true
	}
	for _, k := range slices.Sorted(maps.Keys(seen)) {
		short := abbreviate(k)
		if short == k {
			continue
		}
		items = append(items, legendItem{34, func(x, y float64) {
			fill := badgeColour(k)
			c.scene.add(&figure{path: rounded(x, y-8, 34, 16, 4), fill: &fill})
			size := min(9.5, 9.5*30/measure(short, 9.5, true))
			c.scene.centred(short, x+17, y+0.36*size, size, 34, true, paper)
		}, k})
	}
	return items
}
