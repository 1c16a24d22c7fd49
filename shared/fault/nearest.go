package fault

import (
	"slices"
	"strings"
)

// Nearest gives the known word that one who wrote another may have meant, "" when none comes near. Case doesn't count, and a word that is
// part of a known one is near it: "selector" is "labelSelector".
func Nearest(word string, known []string) string {
	best, least := "", 1+(len(word)+1)/3
	for _, k := range slices.Sorted(slices.Values(known)) {
		d := distance(strings.ToLower(word), strings.ToLower(k))
		if word != "" && strings.Contains(strings.ToLower(k), strings.ToLower(word)) {
			d = min(d, 1)
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to change, add or drop between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
