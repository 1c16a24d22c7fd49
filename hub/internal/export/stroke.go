package export

import "math"

// dashed cuts a line into its dashes; without dashes it is whole.
func dashed(line []point, dash []float64, scale float64) (out [][]point) {
	if len(dash) == 0 {
		return [][]point{line}
	}
	k, left, on := 0, dash[0]*scale, true
	now := []point{line[0]}
	for i := 1; i < len(line); i++ {
		from, to := line[i-1], line[i]
		length := math.Hypot(to.x-from.x, to.y-from.y)
		for done := 0.0; done < length; {
			step := min(left, length-done)
			done += step
			left -= step
			at := point{from.x + (to.x-from.x)*done/length, from.y + (to.y-from.y)*done/length}
			if on {
				now = append(now, at)
			}
			if left > 0 {
				continue
			}
			if on {
				out = append(out, now)
			}
			on, k = !on, (k+1)%len(dash)
			left, now = dash[k]*scale, []point{at}
		}
	}
	if on && len(now) > 1 {
		out = append(out, now)
	}
	return out
}

const pieceArea = 1 << 18 // pixels of the mask that a line is painted through; one that needs more is painted in pieces

// pieces cuts a line into some whose masks are small. Each begins with the last step of the one before, so that there is no gap.
func pieces(line []point) (out [][]point) {
	start, low, high := 0, line[0], line[0]
	for i := 1; i < len(line); i++ {
		low, high = point{min(low.x, line[i].x), min(low.y, line[i].y)}, point{max(high.x, line[i].x), max(high.y, line[i].y)}
		if (high.x-low.x)*(high.y-low.y) > pieceArea && i < len(line)-1 {
			out = append(out, line[start:i+1])
			start, low, high = i-1, line[i-1], line[i-1]
		}
	}
	return append(out, line[start:])
}

// outline is the area of a stroked line: a rectangle for each step and a disc for each corner, all wound the same way.
func outline(line []point, half float64) (out [][]point) {
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		length := math.Hypot(b.x-a.x, b.y-a.y)
		if length == 0 {
			continue
		}
		nx, ny := -(b.y-a.y)/length*half, (b.x-a.x)/length*half
		out = append(out, []point{{a.x + nx, a.y + ny}, {a.x - nx, a.y - ny}, {b.x - nx, b.y - ny}, {b.x + nx, b.y + ny}})
		if i > 1 {
			out = append(out, disc(a, half))
		}
	}
	return out
}

// disc is wound as the rectangles of outline are.
func disc(at point, r float64) []point {
	const corners = 10
	out := make([]point, corners)
	for i := range out {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / corners)
		out[i] = point{at.x + r*cos, at.y + r*sin}
	}
	return out
}
